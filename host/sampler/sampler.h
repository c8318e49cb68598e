// Picks the next token from one row of logits.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace tenure {

// Filters run in this order, the one of Hugging Face `generate`:
//   repeat_penalty → temperature → top_k → top_p → min_p → draw
// so top_p and min_p see the tempered distribution, and top_p sees what top_k left, renormalised.
struct SamplerConfig {
  float temperature = 0;  // >= 0; 0 = greedy: the highest (penalised) logit, no other filter matters
  int32_t top_k = 0;      // >= 0; the k most probable; 0 = all
  float top_p = 1;        // (0, 1]; the smallest most-probable set that reaches this mass
  float min_p = 0;        // [0, 1]; those at least this fraction of the most probable one's probability
  float repeat_penalty =
      1;  // > 0; a seen token's logit is divided by it if positive, else multiplied; once a token
  int32_t repeat_window = 64;  // >= 0; how many of the last tokens count as seen; 0 = all of them
};

// One sequence's sampler. A copy goes on from the same step: a forked sequence draws what its parent would
// have drawn. Not thread-safe; nothing is allocated after construction.
class Sampler {
 public:
  // `key` from seed_key() (sampler/random.h). Throws Error(out_of_range) on a config outside the ranges
  // above.
  Sampler(const SamplerConfig& config, int32_t n_vocab, uint64_t key);

  // False when the backend's own argmax (ties to the lower id) is already the answer.
  bool needs_logits() const { return config_.temperature > 0 || config_.repeat_penalty != 1; }

  // logits: (n_vocab). recent: the sequence's tokens so far, oldest first, prompt included; ids outside the
  // vocabulary are ignored. Equal logits rank by the lower id. nullopt if any logit is NaN or infinite (row
  // error `numeric`); the step then stays where it was.
  std::optional<int32_t> sample(std::span<const float> logits, std::span<const int32_t> recent);

  // Draws made so far; the next one is a function of (key, step) alone.
  uint64_t step() const { return step_; }

 private:
  struct Candidate {
    float value;  // a logit, later its weight relative to the most probable one's
    int32_t id;
  };

  bool load(std::span<const float> logits);
  void penalise(std::span<const float> logits, std::span<const int32_t> recent);
  void keep_top_k();
  void weigh();
  void keep_top_p_min_p();
  int32_t draw();
  static bool ranks_lower(const Candidate& a, const Candidate& b);

  SamplerConfig config_;
  int32_t n_vocab_;
  uint64_t key_;
  uint64_t step_ = 0;
  std::vector<Candidate> candidates_;  // (n_vocab); the first n_candidates_ are still in play
  size_t n_candidates_ = 0;
};

}  // namespace tenure
