// Against transformers' own functions (tests/golden/rope_scaling.py).
#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "weights/rope_scaling.h"

namespace tenure {
namespace {

std::vector<float> factors_of(const nlohmann::json& golden, RopeShape shape) {
  const std::string type = golden["rope_type"];
  const double factor = golden["factor"];
  if (type == "linear") return linear_rope_factors(shape, factor);
  const uint32_t n_ctx = golden["original_max_position_embeddings"];
  if (type == "llama3") {
    return llama3_rope_factors(shape, {.factor = factor,
                                       .low_freq_factor = golden["low_freq_factor"],
                                       .high_freq_factor = golden["high_freq_factor"],
                                       .n_ctx_original = n_ctx});
  }
  return yarn_rope_factors(shape, {.factor = factor,
                                   .beta_fast = golden.value("beta_fast", 32.0),
                                   .beta_slow = golden.value("beta_slow", 1.0),
                                   .n_ctx_original = n_ctx,
                                   .truncate = golden.value("truncate", true)});
}

double attention_factor_of(const nlohmann::json& golden) {
  const double factor = golden["factor"];
  if (golden["rope_type"] == "longrope")
    return longrope_attention_factor(factor, golden["original_max_position_embeddings"]);
  if (golden["rope_type"] != "yarn") return 1;
  if (!golden.contains("mscale")) return yarn_attention_factor(factor);
  return yarn_attention_factor(factor, golden["mscale"], golden["mscale_all_dim"]);
}

TEST_CASE("RoPE scaling - every pair's frequency is that of transformers") {
  const nlohmann::json goldens = nlohmann::json::parse(std::ifstream("tests/data/rope_scaling.json"));
  REQUIRE(goldens.size() == 10);
  for (const nlohmann::json& golden : goldens) {
    const RopeShape shape{.base = golden["base"], .dim = golden["dim"]};
    CAPTURE(golden["rope_type"].get<std::string>());
    CAPTURE(shape.dim);
    CHECK(attention_factor_of(golden) ==
          doctest::Approx(golden["attention_factor"].get<double>()).epsilon(1e-12));
    if (golden["rope_type"] == "longrope") continue;
    const std::vector<float> factors = factors_of(golden, shape);
    REQUIRE(factors.size() == golden["inv_freq"].size());
    for (uint32_t i = 0; i < factors.size(); ++i) {
      CAPTURE(i);
      const double frequency = std::pow(shape.base, -2.0 * i / shape.dim) / factors[i];
      // transformers computes in f32.
      CHECK(frequency == doctest::Approx(golden["inv_freq"][i].get<double>()).epsilon(2e-6));
    }
  }
}

}  // namespace
}  // namespace tenure
