// The tokens of a model file, checked: spellings, types and ids, and the pairs that merge.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizer/merge_table.h"
#include "weights/tokenizer_metadata.h"

namespace tenure {

// Throws Error(tokenizer_malformed).
[[noreturn]] void malformed_tokenizer(std::string text);

// Keeps a reference to the metadata: for use while a tokenizer is built.
class Vocabulary {
 public:
  // Throws Error(tokenizer_malformed) naming the offending index.
  explicit Vocabulary(const TokenizerMetadata& metadata);

  size_t size() const { return metadata_.tokens.size(); }
  const std::string& piece(size_t id) const { return metadata_.tokens[id]; }
  // As the tokenizer treats it. Where a file calls a turn's marker (<|end|>, <start_of_turn>) user-defined,
  // it is a control token all the same: a request that spells it out must not end its turn.
  TokenType type(size_t id) const { return types_[id]; }

  // The token of that spelling, empty ones left out.
  std::optional<int32_t> find(std::string_view piece) const;
  // nullopt stays so. Throws when the id is no token's; `name` is the file's name for it.
  std::optional<int32_t> checked_id(std::optional<uint32_t> id, std::string_view name) const;
  // The metadata's merges, with their index as rank.
  std::vector<MergeTable::Merge> merges() const;

 private:
  const TokenizerMetadata& metadata_;
  std::vector<TokenType> types_;  // (size)
  std::unordered_map<std::string_view, int32_t> ids_;
};

inline bool is_control(TokenType type) {
  return type == TokenType::control || type == TokenType::unknown;
}

// Spellings that end an answer in the vocabularies of known families.
bool is_known_end(std::string_view piece);

}  // namespace tenure
