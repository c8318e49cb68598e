// Constants: tests/golden/eval_figures.py, scipy.stats.bootstrap with 400,000 resamples.
#include "eval/interval.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

namespace tenure::test {
namespace {

struct Case {
  std::vector<double> values;
  double mean, low, high;
  double tolerance;  // a fiftieth of the width, or a step of what means can be
};

const Case cases[] = {
    {{1.0, 0.96, 0.93, 1.0, 0.89, 0.96, 1.0, 0.71, 0.96, 1.0, 0.93, 0.86}, 0.933333, 0.8825, 0.9725, 0.0026},
    {{-0.11, -0.52, -2.3, -0.04, -1.7, -0.33, -0.9, -5.2}, -1.3875, -2.6325, -0.4450, 0.05},
    {{1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0}, 0.75, 0.375, 1.0, 1e-9}};

}  // namespace

TEST_CASE("interval - the bounds are scipy's, whatever the seed") {
  for (const Case& known : cases) {
    for (uint64_t seed : {0, 1, 12345}) {
      const Estimate found = bootstrap_mean(known.values, seed);
      CHECK(found.n == known.values.size());
      CHECK(found.mean == doctest::Approx(known.mean).epsilon(1e-6));
      CHECK(std::abs(found.low - known.low) <= known.tolerance);
      CHECK(std::abs(found.high - known.high) <= known.tolerance);
    }
  }
}

TEST_CASE("interval - a ratio of sums is one of the same documents in both") {
  const std::vector<double> parts = {9, 4, 0, 7, 5}, wholes = {10, 4, 8, 9, 5};
  const Estimate found = bootstrap_ratio(parts, wholes, 1);
  CHECK(found.n == 5);
  CHECK(found.mean == doctest::Approx(25.0 / 36));
  // Constants: tests/golden/eval_figures.py, scipy.stats.bootstrap of pairs.
  CHECK(std::abs(found.low - 0.2973) <= 0.02);
  CHECK(std::abs(found.high - 0.9643) <= 0.02);
  const Estimate equal = bootstrap_ratio(std::vector<double>{2, 4, 3}, std::vector<double>{4, 8, 6}, 1);
  CHECK(equal.low == 0.5);
  CHECK(equal.high == 0.5);
  CHECK(bootstrap_ratio(std::vector<double>{0, 0}, std::vector<double>{0, 0}, 1).n == 0);
  // Drawn alone the second document has no whole to be a part of.
  CHECK(bootstrap_ratio(std::vector<double>{1, 0}, std::vector<double>{2, 0}, 1).low == 0.5);
}

TEST_CASE("interval - the same seed gives the same bounds, another one others") {
  const std::vector<double>& values = cases[1].values;
  const Estimate once = bootstrap_mean(values, 3), again = bootstrap_mean(values, 3),
                 other = bootstrap_mean(values, 4);
  CHECK(once.low == again.low);
  CHECK(once.high == again.high);
  CHECK(once.low != other.low);
}

TEST_CASE("interval - equal values leave no doubt, no values say nothing") {
  const Estimate equal = bootstrap_mean(std::vector<double>(5, 0.3), 0);
  CHECK(equal.mean == 0.3);
  CHECK(equal.low == 0.3);
  CHECK(equal.high == 0.3);
  CHECK(bootstrap_mean({}, 0).n == 0);
  const Estimate single = bootstrap_mean(std::vector{0.5}, 0);
  CHECK(single.low == 0.5);
  CHECK(single.high == 0.5);
}

}  // namespace tenure::test
