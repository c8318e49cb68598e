// RUN/logits/: what a reference generated, and the f16 logits behind each token, for the stages that are compared with it by
// kl or top1. Kept until the last cell is done, so that a resume finds them. Any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace tenure {

// The rows of one answer. Filled on the engine's thread, then read by anyone.
struct AnswerLogits {
  std::vector<int32_t> tokens;
  uint32_t n_vocab = 0;
  std::vector<uint16_t> rows;  // f16, (tokens.size(), n_vocab)

  void add_row(std::span<const float> logits);
  std::vector<float> row(size_t token) const;
};

// Whose answer: the reference's row.
struct ReferenceKey {
  std::string id, cell, stage;
  uint32_t sample = 0;
};

class ReferenceLogits {
 public:
  explicit ReferenceLogits(std::string folder) : folder_(std::move(folder)) {}

  bool has(const ReferenceKey& key) const;
  // Whole or not at all. Throws Error(cannot_create | write_failed).
  void put(const ReferenceKey& key, const AnswerLogits& logits) const;
  // nullopt when there is none, or it is not whole.
  std::optional<AnswerLogits> get(const ReferenceKey& key) const;
  void remove_all() const;

 private:
  std::string path_of(const ReferenceKey& key) const;

  std::string folder_;
};

}  // namespace tenure
