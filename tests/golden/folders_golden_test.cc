// Model folders against transformers: tests/data/tiny_safetensors_logits.json, made by tiny_safetensors.py.
// Prompts are longer than any window.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "conformance/subject.h"
#include "golden/golden_rig.h"

namespace tenure::golden {
namespace {

constexpr double tolerance = 1e-4;

double logsumexp(const std::vector<float>& logits) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float logit : logits) sum += std::exp(logit - top);
  return top + std::log(sum);
}

double worst_of(const std::vector<std::vector<float>>& logits, const GoldenPrompt& prompt) {
  double worst = 0;
  const auto note = [&](double error) {
    if (!(error <= worst)) worst = error;
  };
  for (size_t id = 0; id < prompt.last_logits.size(); ++id)
    note(std::abs(logits.back()[id] - prompt.last_logits[id]));
  for (size_t position = 0; position < logits.size(); ++position) {
    for (const GoldenPrompt::Ranked& ranked : prompt.top[position])
      note(std::abs(logits[position][ranked.id] - ranked.logit));
    note(std::abs(logsumexp(logits[position]) - prompt.logsumexp[position]));
  }
  return worst;
}

void expect_logits_of_transformers(const std::string& folder) {
  Rig rig(conformance::backend(2), folder);
  for (const GoldenPrompt& prompt : golden_prompts(folder)) {
    REQUIRE(prompt.top.size() == prompt.ids.size());
    REQUIRE(prompt.last_logits.size() == rig.info().config().n_vocab);
    for (uint32_t chunk : {512u, 7u, 1u}) {
      CAPTURE(folder);
      CAPTURE(prompt.ids.size());
      CAPTURE(chunk);
      CHECK(worst_of(rig.logits(prompt.ids, chunk, Dtype::f32), prompt) <= tolerance);
    }
  }
}

}  // namespace

TEST_CASE("folders - llama in bf16 over two files") {
  expect_logits_of_transformers("tiny-llama-safetensors");
}
TEST_CASE("folders - llama with Llama 3.1's RoPE scaling") {
  expect_logits_of_transformers("tiny-llama3-safetensors");
}
TEST_CASE("folders - qwen2 with biases") {
  expect_logits_of_transformers("tiny-qwen2-safetensors");
}
TEST_CASE("folders - qwen3 with normed q and k") {
  expect_logits_of_transformers("tiny-qwen3-safetensors");
}
TEST_CASE("folders - qwen3 stretched by YaRN") {
  expect_logits_of_transformers("tiny-yarn-safetensors");
}
TEST_CASE("folders - gemma3 with windows and two RoPE bases") {
  expect_logits_of_transformers("tiny-gemma3-safetensors");
}
TEST_CASE("folders - phi3 with fused projections and partial RoPE") {
  expect_logits_of_transformers("tiny-phi3-safetensors");
}

}  // namespace tenure::golden
