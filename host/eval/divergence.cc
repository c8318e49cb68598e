#include "eval/divergence.h"

#include <algorithm>
#include <cmath>

namespace tenure {
namespace {

double log_sum_exp(std::span<const float> logits) {
  const double max = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - max);
  return max + std::log(sum);
}

}  // namespace

double kl_divergence(std::span<const float> reference_logits, std::span<const float> logits) {
  const double reference_norm = log_sum_exp(reference_logits);
  const double norm = log_sum_exp(logits);
  double divergence = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double reference = reference_logits[i] - reference_norm;
    divergence += std::exp(reference) * (reference - (logits[i] - norm));
  }
  return std::max(divergence, 0.0);  // rounding may leave less than nothing
}

}  // namespace tenure
