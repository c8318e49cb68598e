#include "tokenizer/vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "error/error.h"

namespace tenure {
namespace {

constexpr std::array<std::string_view, 10> known_ends = {
    "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>",
    "<|end|>",    "<end_of_turn>", "<eos>",      "</s>",       "<|return|>"};

constexpr std::array<std::string_view, 8> known_markers = {
    "<start_of_turn>", "<bos>", "<s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "<pad>"};

template <size_t n>
bool is_one_of(const std::array<std::string_view, n>& names, std::string_view piece) {
  return std::find(names.begin(), names.end(), piece) != names.end();
}

bool is_marker(std::string_view piece) {
  const bool is_bar = piece.size() > 4 && piece.starts_with("<|") && piece.ends_with("|>");
  return is_bar || is_known_end(piece) || is_one_of(known_markers, piece);
}

}  // namespace

void malformed_tokenizer(std::string text) {
  throw Error(Code::tokenizer_malformed, std::move(text));
}

bool is_known_end(std::string_view piece) {
  return is_one_of(known_ends, piece);
}

Vocabulary::Vocabulary(const TokenizerMetadata& metadata) : metadata_(metadata) {
  const size_t n = metadata.tokens.size();
  if (n == 0 || n > std::numeric_limits<int32_t>::max())
    malformed_tokenizer(fmt::format("the vocabulary has {} tokens", n));
  types_ = metadata.token_types;
  if (types_.empty()) types_.assign(n, TokenType::normal);
  if (types_.size() != n) {
    malformed_tokenizer(fmt::format("{} token types for {} tokens", types_.size(), n));
  }
  ids_.reserve(n);
  for (size_t id = 0; id < n; ++id) {
    if (types_[id] == TokenType::user_defined && is_marker(piece(id))) types_[id] = TokenType::control;
    if (piece(id).empty()) continue;
    const auto [first, is_new] = ids_.emplace(piece(id), static_cast<int32_t>(id));
    if (!is_new)
      malformed_tokenizer(fmt::format("tokens {} and {} are both \"{}\"", first->second, id, piece(id)));
  }
}

std::optional<int32_t> Vocabulary::find(std::string_view piece) const {
  const auto found = ids_.find(piece);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<int32_t> Vocabulary::checked_id(std::optional<uint32_t> id, std::string_view name) const {
  if (!id) return std::nullopt;
  if (*id >= size())
    malformed_tokenizer(fmt::format("{} = {} is outside the vocabulary of {} tokens", name, *id, size()));
  return static_cast<int32_t>(*id);
}

std::vector<MergeTable::Merge> Vocabulary::merges() const {
  std::vector<MergeTable::Merge> merges;
  merges.reserve(metadata_.merges.size());
  std::unordered_map<std::string_view, size_t> seen;
  seen.reserve(metadata_.merges.size());
  for (size_t rank = 0; rank < metadata_.merges.size(); ++rank) {
    const std::string_view merge = metadata_.merges[rank];
    const size_t space = merge.find(' ');
    if (space == std::string_view::npos || space == 0 || space + 1 == merge.size()) {
      malformed_tokenizer(fmt::format("merge {} is \"{}\", not \"left right\"", rank, merge));
    }
    const auto id_of = [&](std::string_view part) {
      const auto found = find(part);
      if (!found) {
        malformed_tokenizer(
            fmt::format("merge {} \"{}\": \"{}\" is not in the vocabulary", rank, merge, part));
      }
      return *found;
    };
    const auto [first, is_new] = seen.emplace(merge, rank);
    if (!is_new)
      malformed_tokenizer(fmt::format("merges {} and {} are both \"{}\"", first->second, rank, merge));
    const std::string_view left = merge.substr(0, space);
    const std::string_view right = merge.substr(space + 1);
    merges.push_back({.left = id_of(left),
                      .right = id_of(right),
                      .merged = id_of(std::string(left).append(right)),
                      .rank = static_cast<uint32_t>(rank)});
  }
  return merges;
}

}  // namespace tenure
