// How sure a mean over few documents is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace tenure {

// A mean and the bounds of its 95 % interval.
struct Estimate {
  double mean = 0;
  double low = 0;
  double high = 0;
  size_t n = 0;  // values it is the mean of
};

// The percentile bootstrap: documents are drawn again with replacement, and the interval is what the middle
// 95 % of the means span. It asks nothing of how values are distributed, so it suits shares near 1 and
// log-probabilities alike; where all values are equal it has no width. Values are finite; without any the
// estimate is 0 of n = 0.
Estimate bootstrap_mean(std::span<const double> values, uint64_t seed);

// Of the ratio of two sums over the same documents: what `parts` add up to over what `wholes` (none negative)
// do.
Estimate bootstrap_ratio(std::span<const double> parts, std::span<const double> wholes, uint64_t seed);

}  // namespace tenure
