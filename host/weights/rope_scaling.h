// RoPE stretched past the context a model was first trained for: what each pair's angle is divided by, so
// that a backend needs one table and no formula. Pure functions of checked numbers, computed in double.
#pragma once

#include <cstdint>
#include <vector>

namespace tenure {

// The unscaled angle of pair i a position is base^(-2 i / dim).
struct RopeShape {
  double base = 10'000;
  uint32_t dim = 0;  // elements of a head that turn; even
};

// What a model's files say of RoPE.
struct Rope {
  double base = 10'000;
  uint32_t dim = 0;             // elements of a head that turn
  std::vector<float> factors;   // (dim / 2), see LayerConfig::rope_factors; empty = all 1
  double attention_factor = 1;  // cos and sin are multiplied by it; 1 unless dim is the whole head
  uint32_t n_ctx = 0;           // positions that these factors are good for
};

// Llama 3.1: slow pairs by `factor`, fast ones not at all, those between in proportion.
struct Llama3Scaling {
  double factor = 1;
  double low_freq_factor = 1;   // turns within n_ctx_original below which a pair is slow
  double high_freq_factor = 4;  // turns above which it is fast; > low_freq_factor
  uint32_t n_ctx_original = 0;
};

// YaRN (Peng et al. 2023): as above, with a ramp over the pair's index instead of its frequency.
struct YarnScaling {
  double factor = 1;
  double beta_fast = 32;  // turns within n_ctx_original above which a pair is left alone
  double beta_slow = 1;   // turns below which it is slowed by all of `factor`
  uint32_t n_ctx_original = 0;
  bool truncate = true;  // the ramp's ends are whole indices
};

// Each (dim / 2): the angle of pair i is divided by element i.
std::vector<float> linear_rope_factors(RopeShape, double factor);
std::vector<float> llama3_rope_factors(RopeShape, const Llama3Scaling&);
std::vector<float> yarn_rope_factors(RopeShape, const YarnScaling&);

// What the method multiplies cos and sin with. Where the whole head turns, q.k grows by its square, which
// LayerConfig::attention_scale takes; where a part of it turns there is no such number.
double yarn_attention_factor(double factor);
// With weights of the logarithm, as DeepSeek's configurations state them.
double yarn_attention_factor(double factor, double mscale, double mscale_all_dim);
double longrope_attention_factor(double factor, uint32_t n_ctx_original);

}  // namespace tenure
