#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels.h"
#include "small_model.h"

namespace tenure::cpu::test {
namespace {

std::vector<float> normal_values(uint32_t n, float deviation, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> values(n);
  for (float& value : values) value = normal(random);
  return values;
}

}  // namespace

TEST_CASE("quantise - every value is within half a step, and the block's sums are those of its bytes") {
  for (const Kernels* kernels : usable_kernels()) {
    CAPTURE(std::string(kernels->name));
    for (float deviation : {1e-6f, 1.0f, 3e4f}) {
      const std::vector<float> x = normal_values(320, deviation, 7);
      std::vector<ActivationBlock> blocks(10);
      kernels->quantise(x.data(), 320, blocks.data());
      for (uint32_t i = 0; i < 320; ++i) {
        const ActivationBlock& block = blocks[i / 32];
        const double error =
            std::abs(static_cast<double>(x[i]) - static_cast<double>(block.scale) * block.q[i % 32]);
        CHECK(error <= 0.5000005 * block.scale);
      }
      for (const ActivationBlock& block : blocks) {
        int sum = 0, largest = 0;
        for (int8_t q : block.q) {
          sum += q;
          largest = std::max(largest, std::abs(int{q}));
        }
        CHECK(block.minus_sum == -sum);
        CHECK(block.scaled_sum == block.scale * static_cast<float>(sum));
        CHECK(largest == 127);
      }
    }
  }
}

TEST_CASE("quantise - zeros stay zero, NaN and infinity make the scale NaN") {
  for (const Kernels* kernels : usable_kernels()) {
    CAPTURE(std::string(kernels->name));
    std::vector<float> x(96, 0.0f);
    x[40] = std::numeric_limits<float>::infinity();
    x[64] = std::nanf("");
    x[65] = 5.0f;
    ActivationBlock blocks[3];
    kernels->quantise(x.data(), 96, blocks);
    CHECK(blocks[0].scale == 0.0f);
    CHECK(blocks[0].minus_sum == 0);
    CHECK(std::isnan(blocks[1].scale));
    CHECK(std::isnan(blocks[2].scale));
  }
}

TEST_CASE("rms_norm - equals the formula in double precision") {
  for (const Kernels* kernels : usable_kernels()) {
    CAPTURE(std::string(kernels->name));
    const uint32_t n = 576;
    const std::vector<float> x = normal_values(n, 3.0f, 11), weight = normal_values(n, 1.0f, 12);
    std::vector<float> out(n);
    const float returned = kernels->rms_norm(x.data(), weight.data(), n, 1e-5f, out.data());
    double sum = 0;
    for (float v : x) sum += static_cast<double>(v) * v;
    CHECK(returned == doctest::Approx(sum).epsilon(1e-6));
    const double scale = 1 / std::sqrt(sum / n + 1e-5);
    for (uint32_t i = 0; i < n; ++i) CHECK(out[i] == doctest::Approx(x[i] * scale * weight[i]).epsilon(1e-6));
  }
}

TEST_CASE("rms_norm, add_rms_norm - heads of any multiple of 16, in place and added, in double precision") {
  for (const Kernels* kernels : usable_kernels()) {
    for (uint32_t n : {16u, 48u, 64u, 80u, 256u}) {
      CAPTURE(std::string(kernels->name));
      CAPTURE(n);
      const std::vector<float> x = normal_values(n, 3.0f, n), weight = normal_values(n, 1.0f, 12);
      std::vector<float> in_place = x, sum = normal_values(n, 1.0f, 14);
      const std::vector<float> before = sum;
      in_place.push_back(-777.0f);
      sum.push_back(-777.0f);
      kernels->rms_norm(in_place.data(), weight.data(), n, 1e-6f, in_place.data());
      kernels->add_rms_norm(x.data(), weight.data(), n, 1e-6f, sum.data());
      double squares = 0;
      for (float v : x) squares += static_cast<double>(v) * v;
      const double scale = 1 / std::sqrt(squares / n + 1e-6);
      for (uint32_t i = 0; i < n; ++i) {
        const double normed = x[i] * scale * weight[i];
        CHECK(in_place[i] == doctest::Approx(normed).epsilon(1e-6));
        CHECK(std::abs(sum[i] - (before[i] + normed)) <= 1e-6 * (std::abs(before[i]) + std::abs(normed)));
      }
      CHECK(in_place[n] == -777.0f);
      CHECK(sum[n] == -777.0f);
    }
  }
}

TEST_CASE("rms_norm - returns something not finite for a row that is not finite") {
  for (const Kernels* kernels : usable_kernels()) {
    for (float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
      std::vector<float> x(64, 1.0f), weight(64, 1.0f), out(64);
      x[63] = bad;
      CHECK(!std::isfinite(kernels->rms_norm(x.data(), weight.data(), 64, 1e-5f, out.data())));
    }
  }
}

TEST_CASE("silu_mul - equals gate / (1 + exp(-gate)) * up, tails included") {
  for (const Kernels* kernels : usable_kernels()) {
    CAPTURE(std::string(kernels->name));
    for (uint32_t n : {1u, 16u, 37u, 200u}) {
      std::vector<float> gate(n), up = normal_values(n, 2.0f, 13);
      for (uint32_t i = 0; i < n; ++i)
        gate[i] = -90.0f + 181.0f * static_cast<float>(i) / static_cast<float>(n);
      std::vector<float> out = gate;
      out.push_back(-777.0f);
      kernels->silu_mul(out.data(), up.data(), n);
      CHECK(out[n] == -777.0f);
      for (uint32_t i = 0; i < n; ++i) {
        const double g = gate[i], expected = g / (1 + std::exp(-g)) * up[i];
        CHECK(std::abs(out[i] - expected) <= 1e-5 * std::abs(expected) + 1e-30);
      }
    }
  }
}

TEST_CASE("gelu_mul - equals gate / 2 * (1 + tanh(...)) * up, tails included") {
  const double root = std::sqrt(2 / std::acos(-1.0));
  for (const Kernels* kernels : usable_kernels()) {
    CAPTURE(std::string(kernels->name));
    for (uint32_t n : {1u, 16u, 37u, 4000u}) {
      std::vector<float> gate(n), up = normal_values(n, 2.0f, 13);
      for (uint32_t i = 0; i < n; ++i)
        gate[i] = -12.0f + 24.0f * static_cast<float>(i) / static_cast<float>(n);
      std::vector<float> out = gate;
      out.push_back(-777.0f);
      kernels->gelu_mul(out.data(), up.data(), n);
      CHECK(out[n] == -777.0f);
      double worst = 0;
      for (uint32_t i = 0; i < n; ++i) {
        const double g = gate[i], gelu = g / 2 * (1 + std::tanh(root * (g + 0.044715 * g * g * g)));
        // Left of -3 the value is below 0.004 and its error a share of less than 1e-8 of the gate.
        const double allowed = (1e-6 * std::abs(gelu) + 5e-9) * std::abs(up[i]);
        worst = std::max(worst, std::abs(out[i] - gelu * up[i]) / allowed);
      }
      CHECK(worst <= 1);
    }
  }
}

TEST_CASE("gelu_mul - gates of any size: what is large passes, what is below zero vanishes, NaN stays") {
  for (const Kernels* kernels : usable_kernels()) {
    CAPTURE(std::string(kernels->name));
    constexpr float infinity = std::numeric_limits<float>::infinity();
    std::vector<float> gate = {100.0f, 1e4f, 1e30f, infinity, -100.0f, -1e4f, -1e20f, 0.0f, std::nanf("")};
    const std::vector<float> up(gate.size(), 1.0f);
    kernels->gelu_mul(gate.data(), up.data(), static_cast<uint32_t>(gate.size()));
    for (uint32_t i = 0; i < 4; ++i) CHECK(gate[i] == std::vector<float>{100.0f, 1e4f, 1e30f, infinity}[i]);
    for (uint32_t i = 4; i < 8; ++i) CHECK(std::abs(gate[i]) <= 1e-18f);
    CHECK(std::isnan(gate[8]));
  }
}

TEST_CASE("reduce_logits - maximum, lowest argmax and exponential sum for every length") {
  for (const Kernels* kernels : usable_kernels()) {
    CAPTURE(std::string(kernels->name));
    for (uint32_t n : {1u, 15u, 16u, 17u, 100u, 1024u}) {
      CAPTURE(n);
      std::vector<float> logits = normal_values(n, 5.0f, n);
      logits[n / 3] = logits[n - 1] = 40.0f;
      const LogitSlice slice = kernels->reduce_logits(logits.data(), n);
      CHECK(slice.finite == 1);
      CHECK(slice.max == 40.0f);
      CHECK(slice.argmax == n / 3);
      double sum = 0;
      for (float logit : logits) sum += std::exp(static_cast<double>(logit) - 40.0);
      CHECK(slice.sum_exp == doctest::Approx(sum).epsilon(1e-6));
    }
  }
}

TEST_CASE("reduce_logits - sees one NaN or infinity anywhere") {
  for (const Kernels* kernels : usable_kernels()) {
    for (float bad :
         {std::nanf(""), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
      for (uint32_t at : {0u, 5u, 40u}) {
        std::vector<float> logits = normal_values(41, 1.0f, 3);
        logits[at] = bad;
        CHECK(kernels->reduce_logits(logits.data(), 41).finite == 0);
      }
    }
  }
}

}  // namespace tenure::cpu::test
