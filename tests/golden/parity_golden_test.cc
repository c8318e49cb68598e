// Two backends, two page layouts, one engine: bounded caches give the same tokens and release the same slots.
#include <doctest/doctest.h>

#include "conformance/subject.h"
#include "golden/golden_rig.h"

namespace tenure::golden {
namespace {

struct Run {
  const char* policy;
  uint64_t budget;  // slots; 0 = none
  uint32_t chunk;
  PositionMode positions;
};

std::vector<SessionResult> run_on(const char* backend, const char* file, const Run& run,
                                  const std::vector<std::vector<int32_t>>& prompts) {
  Rig rig(conformance::backend(1, backend), file);
  const LoadedPolicy policy(run.policy, rig.info());
  PolicySettings settings = policy.settings();
  settings.chunk = run.chunk;
  settings.positions = run.positions;
  if (run.budget > 0) settings.budget = {.kind = BudgetKind::slots, .amount = run.budget, .fraction = {}};
  return rig.generate(prompts, 24, settings);
}

}  // namespace

TEST_CASE("parity - toy and cpu give the same tokens under every policy") {
  const Run runs[] = {{"full", 0, 64, PositionMode::original},
                      {"streaming_llm", 40, 16, PositionMode::rank},
                      {"streaming_llm", 24, 33, PositionMode::original},
                      {"h2o", 40, 16, PositionMode::original},
                      {"h2o", 48, 50, PositionMode::rank},
                      {"knorm", 40, 16, PositionMode::original},
                      {"keydiff", 40, 16, PositionMode::original},
                      {"tova", 40, 33, PositionMode::original}};
  for (const char* file : {"tiny-llama-f32.gguf", "tiny-group3-f32.gguf"}) {
    std::vector<std::vector<int32_t>> prompts;
    for (const GoldenPrompt& prompt : golden_prompts(file)) prompts.push_back(prompt.ids);
    for (const Run& run : runs) {
      CAPTURE(file);
      CAPTURE(run.policy);
      CAPTURE(run.budget);
      const auto toy = run_on("toy", file, run, prompts);
      const auto cpu = run_on("cpu", file, run, prompts);
      for (size_t i = 0; i < prompts.size(); ++i) {
        CAPTURE(i);
        require_ok(toy[i]);
        require_ok(cpu[i]);
        CHECK(toy[i].segments.at(0).tokens.size() == 24);
        CHECK(toy[i].segments.at(0).tokens == cpu[i].segments.at(0).tokens);
        CHECK(toy[i].released == cpu[i].released);
        CHECK((run.budget == 0) == (cpu.back().released == 0));
      }
    }
  }
}

}  // namespace tenure::golden
