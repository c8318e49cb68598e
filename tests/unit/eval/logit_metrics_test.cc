#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "eval/logit_metrics.h"

using namespace tenure;

TEST_CASE("kl - hand-computed, whatever the logits' level") {
  const float half = std::log(0.5f), quarter = std::log(0.25f);
  const std::vector<float> p = {half, quarter, quarter}, uniform = {7, 7, 7};
  CHECK(kl_divergence(p, uniform) == doctest::Approx(0.5 * std::log(1.5) + 0.5 * std::log(0.75)));
  CHECK(kl_divergence(uniform, p) == doctest::Approx((std::log(2.0 / 3) + 2 * std::log(4.0 / 3)) / 3));
  CHECK(kl_divergence(p, p) == 0);
  const std::vector<float> raised = {half + 500, quarter + 500, quarter + 500};
  CHECK(kl_divergence(p, raised) == doctest::Approx(0).epsilon(1e-4));
}

TEST_CASE("kl - what the reference rules out costs nothing, what it expects and the other rules out a lot") {
  const std::vector<float> sure = {100, -100}, open = {0, 0};
  CHECK(kl_divergence(sure, open) == doctest::Approx(std::log(2.0)));
  CHECK(kl_divergence(open, sure) == doctest::Approx(0.5 * 200 - std::log(2.0)));
}

TEST_CASE("top_token - the lowest of equals") {
  CHECK(top_token(std::vector<float>{1, 3, 3, 2}) == 1);
}
