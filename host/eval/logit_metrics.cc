#include "eval/logit_metrics.h"

#include <algorithm>
#include <cmath>

namespace tenure {
namespace {

double log_sum_exp(std::span<const float> logits) {
  const double most = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - most);
  return most + std::log(sum);
}

}  // namespace

double kl_divergence(std::span<const float> p, std::span<const float> q) {
  const double p_total = log_sum_exp(p), q_total = log_sum_exp(q);
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    const double p_log = p[i] - p_total;
    sum += std::exp(p_log) * (p_log - (q[i] - q_total));
  }
  return std::max(0.0, sum);  // rounding alone can make it negative
}

size_t top_token(std::span<const float> logits) {
  return static_cast<size_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

}  // namespace tenure
