#include "graph/reference_logits.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "error/error.h"
#include "record/file_io.h"
#include "record/row_index.h"
#include "tensor/dtype.h"

namespace tenure {
namespace {

// A file is this header, the tokens, the rows; all little-endian as the machine is.
struct Header {
  char magic[8] = {'t', 'e', 'n', 'u', 'r', 'e', 'L', '1'};
  uint32_t n_tokens = 0;
  uint32_t n_vocab = 0;
};

}  // namespace

void AnswerLogits::add_row(std::span<const float> logits) {
  n_vocab = static_cast<uint32_t>(logits.size());
  const size_t begin = rows.size();
  rows.resize(begin + logits.size());
  std::transform(logits.begin(), logits.end(), rows.begin() + static_cast<ptrdiff_t>(begin), f32_to_f16);
}

std::vector<float> AnswerLogits::row(size_t token) const {
  std::vector<float> logits(n_vocab);
  const auto begin = rows.begin() + static_cast<ptrdiff_t>(token * n_vocab);
  std::transform(begin, begin + n_vocab, logits.begin(), f16_to_f32);
  return logits;
}

std::string ReferenceLogits::path_of(const ReferenceKey& key) const {
  const Hash128 hash = hash_of(fmt::format("{}:{}{}:{}{}:{}{}", key.id.size(), key.id, key.cell.size(), key.cell, key.stage.size(),
                                           key.stage, key.sample));
  return fmt::format("{}/{:016x}{:016x}.f16", folder_, hash.high, hash.low);
}

bool ReferenceLogits::has(const ReferenceKey& key) const { return file_exists(path_of(key)); }

void ReferenceLogits::put(const ReferenceKey& key, const AnswerLogits& logits) const {
  std::error_code failure;
  std::filesystem::create_directories(folder_, failure);
  const Header header{.n_tokens = static_cast<uint32_t>(logits.tokens.size()), .n_vocab = logits.n_vocab};
  const size_t n_row_bytes = logits.tokens.size() * logits.n_vocab * sizeof(uint16_t);  // an ending token's row is not kept
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
  bytes.append(reinterpret_cast<const char*>(logits.tokens.data()), logits.tokens.size() * sizeof(int32_t));
  bytes.append(reinterpret_cast<const char*>(logits.rows.data()), n_row_bytes);
  replace_file_quickly(path_of(key), bytes);
}

std::optional<AnswerLogits> ReferenceLogits::get(const ReferenceKey& key) const {
  if (!has(key)) return std::nullopt;
  const std::string bytes = read_file(path_of(key));
  Header header;
  if (bytes.size() < sizeof header || std::memcmp(bytes.data(), Header{}.magic, sizeof header.magic) != 0) return std::nullopt;
  std::memcpy(&header, bytes.data(), sizeof header);
  const size_t n_tokens = header.n_tokens, n_values = n_tokens * header.n_vocab;
  if (bytes.size() != sizeof header + n_tokens * sizeof(int32_t) + n_values * sizeof(uint16_t)) return std::nullopt;
  AnswerLogits logits{.tokens = std::vector<int32_t>(n_tokens), .n_vocab = header.n_vocab, .rows = std::vector<uint16_t>(n_values)};
  const char* at = bytes.data() + sizeof header;
  if (n_tokens > 0) std::memcpy(logits.tokens.data(), at, n_tokens * sizeof(int32_t));
  if (n_values > 0) std::memcpy(logits.rows.data(), at + n_tokens * sizeof(int32_t), n_values * sizeof(uint16_t));
  return logits;
}

void ReferenceLogits::remove_all() const {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

}  // namespace tenure
