#include <doctest/doctest.h>
#include <tenure/ext/activations.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace tenure::test {

TEST_CASE("activations - the exponential is e^x to a millionth from 0 to -87, and nothing below") {
  double largest = 0;
  for (float x = 0; x >= -87.0f; x -= 0.00173f) {
    const double exact = std::exp(double{x});
    largest = std::max(largest, std::fabs(tenure_exp_negative(x) / exact - 1));
  }
  CHECK(largest < 1e-6);
  CHECK(tenure_exp_negative(0.0f) == 1.0f);
  for (const float x : {-88.5f, -1e3f, -1e9f}) CHECK(std::fabs(tenure_exp_negative(x)) < 1e-38f);
}

TEST_CASE("activations - values and slopes are those of the formulas, far from zero too") {
  for (const uint32_t activation : {TENURE_ACTIVATION_SILU, TENURE_ACTIVATION_GELU_TANH}) {
    CAPTURE(activation);
    const auto exact = [&](double x) {
      if (activation == TENURE_ACTIVATION_SILU) return x / (1 + std::exp(-x));
      return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    };
    std::vector<float> x;
    for (float value = -60; value <= 60; value += 0.0371f) x.push_back(value);
    std::vector<float> out(x.size()), slope(x.size());
    tenure_activate(activation, x.data(), x.size(), out.data(), slope.data());
    double largest = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double h = 1e-5;
      const double exact_slope = (exact(x[i] + h) - exact(x[i] - h)) / (2 * h);
      largest = std::max({largest, std::fabs(out[i] - exact(x[i])) / (1 + std::fabs(x[i])), std::fabs(slope[i] - exact_slope)});
    }
    CHECK(largest < 2e-6);
  }
}

}  // namespace tenure::test
