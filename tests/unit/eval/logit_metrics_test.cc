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

// Constants: tests/golden/eval_figures.py, scipy.stats.entropy of scipy's softmax.
TEST_CASE("kl - scipy's figure, in nats") {
  const std::vector<float> reference{1, 2, 3, -1}, near{1.1f, 1.9f, 3, -1};
  CHECK(kl_divergence(reference, near) == doctest::Approx(0.0015354662).epsilon(1e-6));
  const std::vector<float> one{0, 10, -10, 5}, far{10, 0, 5, -10};
  CHECK(kl_divergence(one, far) == doctest::Approx(10.0325608135).epsilon(1e-9));
}

TEST_CASE("kl - a shift of all logits is none, and large logits do not overflow") {
  const std::vector<float> reference{80, 81, 79.5f, 60}, shifted{-120, -119, -120.5f, -140};
  CHECK(kl_divergence(reference, shifted) == doctest::Approx(0).epsilon(1e-12));
  const std::vector<float> huge{3000, 0, -3000};
  CHECK(kl_divergence(huge, huge) == 0);
  CHECK(kl_divergence(reference, reference) == 0);
}
