// The tiny models against transformers: tests/data/tiny_logits.json, made by tiny_models.py, and
// tests/data/tiny_families_logits.json, made by tiny_families.py.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "conformance/subject.h"
#include "golden/golden_rig.h"

namespace tenure::golden {
namespace {

constexpr double f32_tolerance = 1e-4;
// Quantised files, against their own dequantised weights. Backends may round activations to 8 bits a block,
// which these tiny models, with little to average over, show by 0.145; logits reach +-6. The toy backend does
// not round.
double quantised_tolerance() {
  return std::getenv("TENURE_EXACT_PRODUCTS") != nullptr ? f32_tolerance : 0.2;
}

const char* const f32_models[] = {"tiny-llama-f32.gguf", "tiny-group3-f32.gguf", "tiny-llama3-f32.gguf", "tiny-qwen2-f32.gguf",
                                  "tiny-qwen3-f32.gguf", "tiny-gemma3-f32.gguf", "tiny-phi3-f32.gguf"};

double logsumexp(const std::vector<float>& logits) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float logit : logits) sum += std::exp(logit - top);
  return top + std::log(sum);
}

double worst_of_last(const std::vector<float>& logits, const GoldenPrompt& prompt) {
  REQUIRE(logits.size() == prompt.last_logits.size());
  double worst = 0;
  for (size_t id = 0; id < logits.size(); ++id) {
    const double error = std::abs(logits[id] - prompt.last_logits[id]);
    if (!(error <= worst)) worst = error;
  }
  return worst;
}

}  // namespace

TEST_CASE("f32 models - logits of every position agree with transformers, however the prompt is cut") {
  for (const char* file : f32_models) {
    Rig rig(conformance::backend(2), file);
    for (const GoldenPrompt& prompt : golden_prompts(file)) {
      REQUIRE(prompt.top.size() == prompt.ids.size());
      for (uint32_t chunk : {512u, 64u, 7u, 1u}) {
        CAPTURE(file);
        CAPTURE(prompt.ids.size());
        CAPTURE(chunk);
        const auto logits = rig.logits(prompt.ids, chunk, Dtype::f32);
        CHECK(worst_of_last(logits.back(), prompt) <= f32_tolerance);
        double worst = 0;
        for (size_t position = 0; position < logits.size(); ++position) {
          for (const GoldenPrompt::Ranked& ranked : prompt.top[position]) {
            worst = std::max(worst, std::abs(logits[position][ranked.id] - ranked.logit));
          }
          worst = std::max(worst, std::abs(logsumexp(logits[position]) - prompt.logsumexp[position]));
        }
        CHECK(worst <= f32_tolerance);
      }
    }
  }
}

TEST_CASE("f32 models - 16-bit caches stay close to transformers") {
  for (Dtype kv_type : {Dtype::f16, Dtype::bf16}) {
    Rig rig(conformance::backend(2), "tiny-llama-f32.gguf");
    const GoldenPrompt prompt = golden_prompts("tiny-llama-f32.gguf").back();
    for (uint32_t chunk : {128u, 1u}) {
      CAPTURE(chunk);
      CHECK(worst_of_last(rig.logits(prompt.ids, chunk, kv_type).back(), prompt) <=
            (kv_type == Dtype::f16 ? 0.05 : 0.25));
    }
  }
}

TEST_CASE("16-bit and quantised files - logits agree with their own weights, dequantised") {
  for (const char* form : {"f16", "bf16", "q8_0", "q4_0", "q4_1"}) {
    CAPTURE(form);
    const std::string file = std::string("tiny-llama-") + form + ".gguf";
    Rig rig(conformance::backend(2), file);
    const double tolerance = form[0] == 'q' ? quantised_tolerance() : f32_tolerance;
    for (const GoldenPrompt& prompt : golden_prompts(file)) {
      for (uint32_t chunk : {64u, 1u})
        CHECK(worst_of_last(rig.logits(prompt.ids, chunk, Dtype::f32).back(), prompt) <= tolerance);
    }
  }
}

TEST_CASE("greedy - the engine continues every prompt as transformers does") {
  for (const char* file : f32_models) {
    Rig rig(conformance::backend(2), file);
    const LoadedPolicy full("full", rig.info());
    const PolicySettings settings = full.settings();
    std::vector<std::vector<int32_t>> prompts;
    const std::vector<GoldenPrompt> golden = golden_prompts(file);
    for (const GoldenPrompt& prompt : golden) prompts.push_back(prompt.ids);
    const std::vector<SessionResult> results = rig.generate(prompts, 24, settings);
    for (size_t i = 0; i < golden.size(); ++i) {
      CAPTURE(file);
      CAPTURE(i);
      require_ok(results[i]);
      CHECK(results[i].segments.at(0).tokens == golden[i].greedy);
    }
  }
}

}  // namespace tenure::golden
