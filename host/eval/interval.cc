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
  // A sum of equal values divided by their number may be off in its last digit.
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  if (*least == *most) return {.mean = *least, .low = *least, .high = *least, .n = values.size()};
  return bootstrap_ratio(values, std::vector<double>(values.size(), 1.0), seed);
}

Estimate bootstrap_ratio(std::span<const double> parts, std::span<const double> wholes, uint64_t seed) {
  const size_t n = parts.size();
  const double whole = std::accumulate(wholes.begin(), wholes.end(), 0.0);
  if (n == 0 || whole <= 0) return {};
  Draws draws(seed_key(seed, "bootstrap", "", 0));
  std::vector<double> ratios;
  for (size_t i = 0; i < n_resamples; ++i) {
    double sum = 0, of = 0;
    for (size_t k = 0; k < n; ++k) {
      const size_t drawn = draws.below(n);
      sum += parts[drawn];
      of += wholes[drawn];
    }
    if (of > 0) ratios.push_back(sum / of);
  }
  std::sort(ratios.begin(), ratios.end());
  return {.mean = std::accumulate(parts.begin(), parts.end(), 0.0) / whole,
          .low = quantile(ratios, tail),
          .high = quantile(ratios, 1 - tail),
          .n = n};
}

}  // namespace tenure
