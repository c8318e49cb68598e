#include "tokenizer/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <unordered_map>

#include "error/error.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/detokenizer.h"

namespace tenure {
namespace {

constexpr char guard_byte = '\xFF';

using Vocabulary = std::unordered_map<std::string_view, int32_t>;

[[noreturn]] void malformed(std::string text) {
  throw Error(Code::tokenizer_malformed, std::move(text));
}

const TokenizerMetadata& supported(const TokenizerMetadata& metadata) {
  if (metadata.model != "gpt2") {
    throw Error(Code::model_unsupported,
                fmt::format("tokenizer model \"{}\" is not supported (supported: gpt2)", metadata.model));
  }
  if (metadata.add_space_prefix) {
    throw Error(Code::model_unsupported,
                "tokenizer.ggml.add_space_prefix = true is not supported with model gpt2");
  }
  const size_t n = metadata.tokens.size();
  if (n == 0 || n > std::numeric_limits<int32_t>::max())
    malformed(fmt::format("the vocabulary has {} tokens", n));
  if (!metadata.token_types.empty() && metadata.token_types.size() != n) {
    malformed(fmt::format("{} token types for {} tokens", metadata.token_types.size(), n));
  }
  return metadata;
}

Vocabulary index_tokens(const TokenizerMetadata& metadata) {
  Vocabulary vocabulary;
  vocabulary.reserve(metadata.tokens.size());
  for (size_t id = 0; id < metadata.tokens.size(); ++id) {
    const auto [first, is_new] = vocabulary.emplace(metadata.tokens[id], static_cast<int32_t>(id));
    if (!is_new)
      malformed(fmt::format("tokens {} and {} are both \"{}\"", first->second, id, metadata.tokens[id]));
  }
  return vocabulary;
}

MergeTable read_merges(const TokenizerMetadata& metadata) {
  const Vocabulary vocabulary = index_tokens(metadata);
  std::vector<MergeTable::Merge> merges;
  merges.reserve(metadata.merges.size());
  std::unordered_map<std::string_view, size_t> seen;
  for (size_t rank = 0; rank < metadata.merges.size(); ++rank) {
    const std::string_view merge = metadata.merges[rank];
    const size_t space = merge.find(' ');
    if (space == std::string_view::npos || space == 0 || space + 1 == merge.size()) {
      malformed(fmt::format("merge {} is \"{}\", not \"left right\"", rank, merge));
    }
    const auto id_of = [&](std::string_view part) {
      const auto found = vocabulary.find(part);
      if (found == vocabulary.end()) {
        malformed(fmt::format("merge {} \"{}\": \"{}\" is not in the vocabulary", rank, merge, part));
      }
      return found->second;
    };
    const auto [first, is_new] = seen.emplace(merge, rank);
    if (!is_new) malformed(fmt::format("merges {} and {} are both \"{}\"", first->second, rank, merge));
    const std::string_view left = merge.substr(0, space);
    const std::string_view right = merge.substr(space + 1);
    merges.push_back({id_of(left), id_of(right), id_of(std::string(left).append(right))});
  }
  return MergeTable(merges);
}

TokenType type_of(const TokenizerMetadata& metadata, size_t id) {
  return metadata.token_types.empty() ? TokenType::normal : metadata.token_types[id];
}

bool is_control(TokenType type) {
  return type == TokenType::control || type == TokenType::unknown;
}

std::vector<SpecialTokenMatcher::Token> written_tokens(const TokenizerMetadata& metadata, bool with_control) {
  std::vector<SpecialTokenMatcher::Token> tokens;
  for (size_t id = 0; id < metadata.tokens.size(); ++id) {
    const TokenType type = type_of(metadata, id);
    const bool wanted = type == TokenType::user_defined || (with_control && is_control(type));
    if (wanted && !metadata.tokens[id].empty())
      tokens.push_back({metadata.tokens[id], static_cast<int32_t>(id)});
  }
  return tokens;
}

std::optional<int32_t> checked_id(std::optional<uint32_t> id, size_t n_vocab, const char* name) {
  if (!id) return std::nullopt;
  if (*id >= n_vocab)
    malformed(fmt::format("{} = {} is outside the vocabulary of {} tokens", name, *id, n_vocab));
  return static_cast<int32_t>(*id);
}

std::string repair(std::string_view text, bool keep_guards) {
  if (!keep_guards) return replace_invalid_utf8(text);
  std::string repaired;
  for (;;) {
    const size_t mark = text.find(guard_byte);
    repaired += replace_invalid_utf8(text.substr(0, mark));
    if (mark == std::string_view::npos) return repaired;
    repaired += guard_byte;
    text.remove_prefix(mark + 1);
  }
}

}  // namespace

Tokenizer::Tokenizer(const TokenizerMetadata& metadata)
    : pre_tokenizer_(supported(metadata).pre),
      merges_(read_merges(metadata)),
      always_(written_tokens(metadata, false)),
      parsed_(written_tokens(metadata, true)) {
  read_tokens(metadata);
  read_ids(metadata);
}

void Tokenizer::read_tokens(const TokenizerMetadata& metadata) {
  byte_tokens_.fill(-1);
  pieces_ = metadata.tokens;
  bytes_.reserve(pieces_.size());
  types_.reserve(pieces_.size());
  for (size_t id = 0; id < pieces_.size(); ++id) {
    const TokenType type = type_of(metadata, id);
    if (type < TokenType::normal || type > TokenType::unused) {
      malformed(
          fmt::format("token {} \"{}\" has type {}, which a byte-level vocabulary does not know (1 to 5)", id,
                      pieces_[id], static_cast<int>(type)));
    }
    types_.push_back(type);
    // Padding such as "[PAD 7]" is spelled with characters that stand for no byte: it is its own text.
    std::optional<std::string> spelled;
    if (type == TokenType::normal || type == TokenType::unused) spelled = spelled_bytes(pieces_[id]);
    if (type == TokenType::normal && spelled && spelled->size() == 1) {
      byte_tokens_[static_cast<uint8_t>(spelled->front())] = static_cast<int32_t>(id);
    }
    bytes_.push_back(spelled ? std::move(*spelled) : pieces_[id]);
  }
}

void Tokenizer::read_ids(const TokenizerMetadata& metadata) {
  bos_ = checked_id(metadata.bos_id, pieces_.size(), "bos_token_id");
  eos_ = checked_id(metadata.eos_id, pieces_.size(), "eos_token_id");
  checked_id(metadata.unknown_id, pieces_.size(), "unknown_token_id");
  add_bos_ = metadata.add_bos;
  if (add_bos_ && !bos_) malformed("add_bos_token is true, but there is no bos_token_id");
  if (eos_) end_of_generation_.push_back(*eos_);
  const auto eot = checked_id(metadata.eot_id, pieces_.size(), "eot_token_id");
  if (eot) end_of_generation_.push_back(*eot);
  for (const uint32_t id : metadata.end_ids)
    end_of_generation_.push_back(*checked_id(id, pieces_.size(), "eos_token_id"));
  constexpr std::array<std::string_view, 5> known_ends = {"<|im_end|>", "<|endoftext|>", "<|eot_id|>", "</s>",
                                                          "<end_of_turn>"};
  for (size_t id = 0; id < pieces_.size(); ++id) {
    const bool ends = std::find(known_ends.begin(), known_ends.end(), pieces_[id]) != known_ends.end();
    if (ends && types_[id] == TokenType::control) end_of_generation_.push_back(static_cast<int32_t>(id));
  }
}

bool Tokenizer::is_end_of_generation(int32_t id) const {
  return std::find(end_of_generation_.begin(), end_of_generation_.end(), id) != end_of_generation_.end();
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, SpecialTokens special) const {
  const bool honours_guards = special == SpecialTokens::parse_unguarded;
  const std::string repaired = repair(text, honours_guards);
  if (repaired.size() > std::numeric_limits<int32_t>::max()) {
    throw Error(Code::row_bad_request,
                fmt::format("a text of {} bytes is too long (limit: 2 GiB)", repaired.size()));
  }
  std::vector<int32_t> ids;
  std::string plain;
  bool guarded = false;
  for (size_t at = 0; at < repaired.size();) {
    if (honours_guards && repaired[at] == guard_byte) {
      guarded = true;
      ++at;
      continue;
    }
    const bool parses = special != SpecialTokens::plain && !guarded;
    guarded = false;
    const auto match = (parses ? parsed_ : always_).match(std::string_view(repaired).substr(at));
    if (!match) {
      plain += repaired[at++];
      continue;
    }
    encode_words(plain, ids);
    plain.clear();
    ids.push_back(match->id);
    at += match->n_bytes;
  }
  encode_words(plain, ids);
  return ids;
}

void Tokenizer::encode_words(std::string_view text, std::vector<int32_t>& ids) const {
  std::vector<int32_t> word;
  for (std::string_view piece : pre_tokenizer_.split(text)) {
    word.clear();
    for (char byte : piece) {
      const int32_t token = byte_tokens_[static_cast<uint8_t>(byte)];
      if (token >= 0) word.push_back(token);
    }
    merges_.apply(word, ids);
  }
}

std::string Tokenizer::guard(std::string_view text) const {
  const std::string repaired = replace_invalid_utf8(text);
  std::string guarded;
  guarded.reserve(repaired.size());
  for (size_t at = 0; at < repaired.size(); ++at) {
    // Also where the text ends inside a token's spelling, which the template could complete.
    if (parsed_.could_begin(std::string_view(repaired).substr(at))) guarded += guard_byte;
    guarded += repaired[at];
  }
  return guarded;
}

std::string_view Tokenizer::bytes(int32_t id, ControlTokens control) const {
  const auto at = static_cast<size_t>(id);
  if (control == ControlTokens::hidden && is_control(types_.at(at))) return {};
  return bytes_.at(at);
}

std::string Tokenizer::detokenize(const std::vector<int32_t>& ids, ControlTokens control) const {
  std::string text;
  Detokenizer detokenizer;
  for (int32_t id : ids) detokenizer.push(bytes(id, control), text);
  detokenizer.finish(text);
  return text;
}

}  // namespace tenure
