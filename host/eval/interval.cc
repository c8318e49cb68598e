#include "eval/interval.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "eval/draws.h"

namespace tenure {
namespace {

constexpr size_t n_resamples = 10000;  // the bounds then move by about 2 % of the width with the seed
constexpr double tail = 0.025;

// By linear interpolation between ranks.
double quantile(const std::vector<double>& sorted, double q) {
  const double rank = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(rank);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (rank - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace

Estimate bootstrap_mean(std::span<const double> values, uint64_t seed) {
  if (values.empty()) return {};
  const auto n = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  if (*least == *most) return {.mean = *least, .low = *least, .high = *least, .n = values.size()};
  Draws draws(seed_key(seed, "bootstrap", "", 0));
  std::vector<double> means(n_resamples);
  for (double& resampled : means) {
    double sum = 0;
    for (size_t i = 0; i < values.size(); ++i) sum += values[draws.below(values.size())];
    resampled = sum / n;
  }
  std::sort(means.begin(), means.end());
  return {.mean = mean, .low = quantile(means, tail), .high = quantile(means, 1 - tail), .n = values.size()};
}

}  // namespace tenure
