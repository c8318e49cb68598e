// Constants: tests/golden/eval_figures.py, scipy.stats.entropy of scipy's softmax.
#include "eval/divergence.h"

#include <doctest/doctest.h>

#include <vector>

namespace tenure::test {

TEST_CASE("divergence - scipy's figure, in nats") {
  const std::vector<float> reference{1, 2, 3, -1}, near{1.1f, 1.9f, 3, -1};
  CHECK(kl_divergence(reference, near) == doctest::Approx(0.0015354662).epsilon(1e-6));
  const std::vector<float> one{0, 10, -10, 5}, far{10, 0, 5, -10};
  CHECK(kl_divergence(one, far) == doctest::Approx(10.0325608135).epsilon(1e-9));
}

TEST_CASE("divergence - a shift of all logits is none, and large logits do not overflow") {
  const std::vector<float> reference{80, 81, 79.5f, 60}, shifted{-120, -119, -120.5f, -140};
  CHECK(kl_divergence(reference, shifted) == doctest::Approx(0).epsilon(1e-12));
  const std::vector<float> huge{3000, 0, -3000};
  CHECK(kl_divergence(huge, huge) == 0);
  CHECK(kl_divergence(reference, reference) == 0);
}

}  // namespace tenure::test
