#include "tokenizer/byte_level_encoder.h"

#include <fmt/format.h>

#include <optional>

#include "tokenizer/byte_alphabet.h"

namespace tenure {

std::string byte_level_text(const Vocabulary& vocabulary, size_t id) {
  const TokenType type = vocabulary.type(id);
  const std::string& piece = vocabulary.piece(id);
  if (type < TokenType::normal || type > TokenType::unused) {
    malformed_tokenizer(
        fmt::format("token {} \"{}\" has type {}, which a byte-level vocabulary does not know (1 to 5)", id,
                    piece, static_cast<int>(type)));
  }
  if (type != TokenType::normal && type != TokenType::unused) return piece;
  // Padding such as "[PAD 7]" is spelled with characters that stand for no byte: it is its own text.
  return spelled_bytes(piece).value_or(piece);
}

ByteLevelEncoder::ByteLevelEncoder(const Vocabulary& vocabulary, const TokenizerMetadata& metadata)
    : pre_tokenizer_(metadata.pre), merges_(vocabulary.merges()) {
  byte_tokens_.fill(-1);
  for (size_t id = 0; id < vocabulary.size(); ++id) {
    if (vocabulary.type(id) != TokenType::normal) continue;
    // A byte is spelled with one or two bytes of UTF-8; the tokenizer has read all spellings already.
    if (!metadata.ignore_merges && vocabulary.piece(id).size() > 2) continue;
    std::optional<std::string> bytes = spelled_bytes(vocabulary.piece(id));
    if (!bytes) continue;
    if (bytes->size() == 1) byte_tokens_[static_cast<uint8_t>(bytes->front())] = static_cast<int32_t>(id);
    if (metadata.ignore_merges) whole_words_.emplace(std::move(*bytes), static_cast<int32_t>(id));
  }
}

void ByteLevelEncoder::encode(std::string_view text, std::vector<int32_t>& ids) const {
  std::vector<int32_t> word;
  for (std::string_view piece : pre_tokenizer_.split(text)) {
    if (!whole_words_.empty()) {
      const auto whole = whole_words_.find(std::string(piece));
      if (whole != whole_words_.end()) {
        ids.push_back(whole->second);
        continue;
      }
    }
    word.clear();
    for (char byte : piece) {
      const int32_t token = byte_tokens_[static_cast<uint8_t>(byte)];
      if (token >= 0) word.push_back(token);
    }
    merges_.apply(word, ids);
  }
}

}  // namespace tenure
