#include "tokenizer/sentencepiece_encoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <optional>

#include "tokenizer/detokenizer.h"
#include "tokenizer/utf8.h"

namespace tenure {
namespace {

constexpr std::string_view blank = "\xE2\x96\x81";  // ▁, U+2581

// Every way to cut a token in two is looked up when a vocabulary is read; real ones are of 16 to 93 bytes.
constexpr size_t max_token_bytes = 512;

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string result;
  result.reserve(text.size());
  for (size_t found; (found = text.find(from)) != std::string_view::npos;) {
    result.append(text.substr(0, found)).append(to);
    text.remove_prefix(found + from.size());
  }
  return result.append(text);
}

std::optional<uint8_t> byte_of(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece.back() != '>') return std::nullopt;
  uint8_t byte = 0;
  const auto [end, error] = std::from_chars(piece.data() + 3, piece.data() + 5, byte, 16);
  return error == std::errc() && end == piece.data() + 5 ? std::optional(byte) : std::nullopt;
}

// A tokenizer.json has no types to tell byte tokens apart by: there the spelling does.
std::optional<uint8_t> byte_token(const Vocabulary& vocabulary, size_t id) {
  const TokenType type = vocabulary.type(id);
  if (type != TokenType::byte && type != TokenType::normal) return std::nullopt;
  const auto byte = byte_of(vocabulary.piece(id));
  if (!byte && type == TokenType::byte) {
    malformed_tokenizer(
        fmt::format("token {} \"{}\" is a byte's, but not spelled like <0x41>", id, vocabulary.piece(id)));
  }
  return byte;
}

bool is_text(TokenType type) {
  return type == TokenType::normal || type == TokenType::user_defined || type == TokenType::unused;
}

size_t n_characters(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(),
                                           [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
}

}  // namespace

std::string sentencepiece_text(const Vocabulary& vocabulary, size_t id) {
  const TokenType type = vocabulary.type(id);
  if (type < TokenType::normal || type > TokenType::byte) {
    malformed_tokenizer(fmt::format("token {} \"{}\" has type {} (known: 1 to 6)", id, vocabulary.piece(id),
                                    static_cast<int>(type)));
  }
  if (const auto byte = byte_token(vocabulary, id)) return {static_cast<char>(*byte)};
  if (!is_text(type)) return vocabulary.piece(id);
  return replaced(vocabulary.piece(id), blank, " ");
}

SentencePieceEncoder::SentencePieceEncoder(const Vocabulary& vocabulary, const TokenizerMetadata& metadata)
    : n_vocab_(static_cast<int32_t>(vocabulary.size())), merges_({}) {
  if (metadata.scores.empty() && metadata.merges.empty()) {
    malformed_tokenizer("the vocabulary has neither scores nor merges");
  }
  if (!metadata.scores.empty() && metadata.scores.size() != vocabulary.size()) {
    malformed_tokenizer(fmt::format("{} scores for {} tokens", metadata.scores.size(), vocabulary.size()));
  }
  unknown_ = vocabulary.checked_id(metadata.unknown_id, "unknown_token_id").value_or(MergeTable::none);
  read_bytes(vocabulary);
  std::vector<std::string> spellings(vocabulary.size());
  Symbols symbols;
  for (size_t id = 0; id < vocabulary.size(); ++id) {
    if (!is_text(vocabulary.type(id)) || byte_token(vocabulary, id)) continue;
    // User-defined tokens are spelled with blanks in some files.
    spellings[id] = replaced(vocabulary.piece(id), " ", blank);
    if (spellings[id].empty()) continue;
    if (replace_invalid_utf8(spellings[id]) != spellings[id]) {
      malformed_tokenizer(fmt::format("token {} is not UTF-8", id));
    }
    const bool is_new = symbols.emplace(spellings[id], static_cast<int32_t>(id)).second;
    if (is_new && n_characters(spellings[id]) == 1) characters_[spellings[id]] = static_cast<int32_t>(id);
  }
  merges_ =
      MergeTable(metadata.scores.empty() ? vocabulary.merges() : merges_by_score(symbols, metadata.scores));
  read_unused(vocabulary);
}

void SentencePieceEncoder::read_bytes(const Vocabulary& vocabulary) {
  byte_tokens_.fill(MergeTable::none);
  for (size_t id = 0; id < vocabulary.size(); ++id) {
    if (const auto byte = byte_token(vocabulary, id)) byte_tokens_[*byte] = static_cast<int32_t>(id);
  }
}

// A pair merges where the vocabulary has what it spells: each token is cut in two at every character.
std::vector<MergeTable::Merge> SentencePieceEncoder::merges_by_score(const Symbols& symbols,
                                                                     const std::vector<float>& scores) {
  std::vector<float> ranked = scores;
  std::sort(ranked.begin(), ranked.end(), std::greater<>());
  ranked.erase(std::unique(ranked.begin(), ranked.end()), ranked.end());

  Symbols known = symbols;
  for (const auto& [spelling, id] : symbols) {
    if (spelling.size() > max_token_bytes) {
      malformed_tokenizer(
          fmt::format("token {} has {} bytes; at most {} are allowed", id, spelling.size(), max_token_bytes));
    }
    for (std::string_view rest = spelling; !rest.empty();) {
      const std::string_view character = rest.substr(0, read_utf8(rest).n_bytes);
      rest.remove_prefix(character.size());
      const auto lone = n_vocab_ + static_cast<int32_t>(lone_characters_.size());
      if (!known.emplace(character, lone).second) continue;
      characters_.emplace(character, lone);
      lone_characters_.emplace_back(character);
    }
  }
  std::vector<MergeTable::Merge> merges;
  for (const auto& [spelling, id] : symbols) {
    const float score = scores[static_cast<size_t>(id)];
    const auto rank =
        std::lower_bound(ranked.begin(), ranked.end(), score, std::greater<>()) - ranked.begin();
    for (size_t cut = read_utf8(spelling).n_bytes; cut < spelling.size();
         cut += read_utf8(spelling.substr(cut)).n_bytes) {
      const auto left = known.find(spelling.substr(0, cut));
      const auto right = known.find(spelling.substr(cut));
      if (left == known.end() || right == known.end()) continue;
      merges.push_back({left->second, right->second, id, static_cast<uint32_t>(rank)});
    }
  }
  return merges;
}

// An unused token comes apart again into the two that were merged last, and these in turn.
void SentencePieceEncoder::read_unused(const Vocabulary& vocabulary) {
  std::vector<std::pair<std::string, int32_t>> unused;
  for (size_t id = 0; id < vocabulary.size(); ++id) {
    if (vocabulary.type(id) != TokenType::unused) continue;
    unused.emplace_back(replaced(vocabulary.piece(id), " ", blank), static_cast<int32_t>(id));
  }
  // Shorter ones first: they are parts of the longer ones.
  std::sort(unused.begin(), unused.end(),
            [](const auto& a, const auto& b) { return a.first.size() < b.first.size(); });
  for (const auto& [spelling, id] : unused) {
    if (n_characters(spelling) < 2) continue;
    std::vector<int32_t> parts;
    merges_.apply(symbols_of(spelling), parts, id);
    std::vector<int32_t>& told = unused_[id];
    for (int32_t part : parts) {
      const auto found = unused_.find(part);
      if (found == unused_.end() || part == id) {
        told.push_back(part);
      } else {
        const std::vector<int32_t> finer = found->second;
        told.insert(told.end(), finer.begin(), finer.end());
      }
    }
  }
}

std::vector<int32_t> SentencePieceEncoder::symbols_of(std::string_view text) const {
  std::vector<int32_t> symbols;
  symbols.reserve(text.size());
  while (!text.empty()) {
    const std::string_view character = text.substr(0, read_utf8(text).n_bytes);
    text.remove_prefix(character.size());
    append_symbol(character == " " ? blank : character, symbols);
  }
  return symbols;
}

void SentencePieceEncoder::append_symbol(std::string_view character, std::vector<int32_t>& symbols) const {
  const auto found = characters_.find(std::string(character));
  if (found != characters_.end()) {
    symbols.push_back(found->second);
  } else {
    append_bytes(character, symbols);
  }
}

void SentencePieceEncoder::append_bytes(std::string_view character, std::vector<int32_t>& ids) const {
  const auto token = [&](char byte) { return byte_tokens_[static_cast<uint8_t>(byte)]; };
  if (std::all_of(character.begin(), character.end(), [&](char byte) { return token(byte) >= 0; })) {
    for (char byte : character) ids.push_back(token(byte));
  } else if (unknown_ != MergeTable::none) {
    ids.push_back(unknown_);
  }
}

void SentencePieceEncoder::encode(std::string_view text, std::vector<int32_t>& ids) const {
  std::vector<int32_t> merged;
  merges_.apply(symbols_of(text), merged);
  std::vector<int32_t> told;
  told.reserve(merged.size());
  const auto tell = [&](int32_t symbol) {
    if (symbol < n_vocab_) {
      told.push_back(symbol);
    } else {
      append_bytes(lone_characters_[static_cast<size_t>(symbol - n_vocab_)], told);
    }
  };
  for (int32_t symbol : merged) {
    const auto parts = unused_.find(symbol);
    if (parts == unused_.end()) {
      tell(symbol);
    } else {
      for (int32_t part : parts->second) tell(part);
    }
  }
  for (size_t i = 0; i < told.size(); ++i) {
    if (i == 0 || told[i] != unknown_ || told[i - 1] != unknown_) ids.push_back(told[i]);
  }
}

}  // namespace tenure
