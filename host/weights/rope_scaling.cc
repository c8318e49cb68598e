#include "weights/rope_scaling.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tenure {
namespace {

// Turns of pair i within n_ctx positions.
double turns(RopeShape shape, uint32_t i, uint32_t n_ctx) {
  return n_ctx * std::pow(shape.base, -2.0 * i / shape.dim) / (2 * std::numbers::pi);
}

// The index, not rounded, of the pair that makes so many turns within n_ctx positions.
double index_of(RopeShape shape, double n_turns, uint32_t n_ctx) {
  return shape.dim * std::log(n_ctx / (n_turns * 2 * std::numbers::pi)) / (2 * std::log(shape.base));
}

// The angle is a mean of the whole one and the slowed one; `whole` is the weight of the first.
float divisor(double whole, double factor) {
  return static_cast<float>(1 / (whole + (1 - whole) / factor));
}

double yarn_logarithm(double factor, double weight) {
  return factor <= 1 ? 1 : 0.1 * weight * std::log(factor) + 1;
}

}  // namespace

std::vector<float> linear_rope_factors(RopeShape shape, double factor) {
  return std::vector<float>(shape.dim / 2, static_cast<float>(factor));
}

std::vector<float> llama3_rope_factors(RopeShape shape, const Llama3Scaling& scaling) {
  std::vector<float> factors(shape.dim / 2);
  for (uint32_t i = 0; i < factors.size(); ++i) {
    const double whole = (turns(shape, i, scaling.n_ctx_original) - scaling.low_freq_factor) /
                         (scaling.high_freq_factor - scaling.low_freq_factor);
    factors[i] = divisor(std::clamp(whole, 0.0, 1.0), scaling.factor);
  }
  return factors;
}

std::vector<float> yarn_rope_factors(RopeShape shape, const YarnScaling& scaling) {
  double first = index_of(shape, scaling.beta_fast, scaling.n_ctx_original);
  double last = index_of(shape, scaling.beta_slow, scaling.n_ctx_original);
  if (scaling.truncate) {
    first = std::floor(first);
    last = std::ceil(last);
  }
  first = std::max(first, 0.0);
  last = std::min(last, shape.dim - 1.0);
  if (first == last) last += 0.001;  // as the reference does: a step instead of a ramp
  std::vector<float> factors(shape.dim / 2);
  for (uint32_t i = 0; i < factors.size(); ++i) {
    factors[i] = divisor(1 - std::clamp((i - first) / (last - first), 0.0, 1.0), scaling.factor);
  }
  return factors;
}

double yarn_attention_factor(double factor) {
  return yarn_logarithm(factor, 1);
}

double yarn_attention_factor(double factor, double mscale, double mscale_all_dim) {
  return yarn_logarithm(factor, mscale) / yarn_logarithm(factor, mscale_all_dim);
}

double longrope_attention_factor(double factor, uint32_t n_ctx_original) {
  return factor <= 1 ? 1 : std::sqrt(1 + std::log(factor) / std::log(n_ctx_original));
}

}  // namespace tenure
