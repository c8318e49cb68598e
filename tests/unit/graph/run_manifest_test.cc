// What decides a run's rows is in its manifest, and nothing else stops a resume.
#include "graph/run_manifest.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "error/error.h"
#include "tensor/sha256.h"

namespace tenure::test {
namespace {

Plan plan_of() {
  Plan plan;
  plan.name = "exp";
  CellPlan cell;
  cell.model.path = "tests/data/tiny-llama-q4_0.gguf";
  cell.backend.plugin = cell.backend.plugin_id = "cpu";
  StagePlan stage;
  stage.id = "out";
  stage.kind = StageKind::generate;
  stage.from = {"read"};
  GeneratePlan generate;
  generate.policy.name = "p";
  generate.policy.plugin = generate.policy.plugin_id = "full";
  stage.work = generate;
  cell.stages = {stage};
  plan.cells = {cell};
  return plan;
}

nlohmann::json manifest_of(const Plan& plan, const RunInputs& inputs = {}) {
  return nlohmann::json::parse(run_manifest(plan, inputs));
}

// Top-level keys in which the two differ, beyond those that may.
std::vector<std::string> differing(const nlohmann::json& a, const nlohmann::json& b) {
  const std::vector<std::string> free = free_manifest_keys();
  std::vector<std::string> keys;
  for (const auto& [key, value] : a.items()) {
    const bool is_free = std::find(free.begin(), free.end(), key) != free.end();
    if (!is_free && b.at(key) != value) keys.push_back(key);
  }
  return keys;
}

}  // namespace

TEST_CASE("run manifest - the same plan and files give the same manifest") {
  const nlohmann::json a = manifest_of(plan_of());
  CHECK(a == manifest_of(plan_of()));
  CHECK(a.at("schema") == 1);
  CHECK(a.at("pipeline") == "exp");
  CHECK(a.at("model_sha256").at("tests/data/tiny-llama-q4_0.gguf") ==
        sha256_file("tests/data/tiny-llama-q4_0.gguf"));
}

TEST_CASE("run manifest - what changes rows changes it where a resume looks") {
  const nlohmann::json before = manifest_of(plan_of());
  Plan other = plan_of();
  std::get<GeneratePlan>(other.cells[0].stages[0].work).max_new_tokens = 3;
  CHECK(differing(before, manifest_of(other)) == std::vector<std::string>{"plan"});
  other = plan_of();
  std::get<GeneratePlan>(other.cells[0].stages[0].work).policy.budget = {
      .kind = BudgetKind::slots, .amount = 5, .fraction = {}};
  CHECK(differing(before, manifest_of(other)) == std::vector<std::string>{"plan"});
  other = plan_of();
  other.cells[0].model.path = "tests/data/tiny-llama-q4_1.gguf";
  CHECK(differing(before, manifest_of(other)) == std::vector<std::string>{"model_sha256", "plan"});
  CHECK(differing(before, manifest_of(plan_of(), {.files = {"LICENSE"}, .plugins = {}})) ==
        std::vector<std::string>{"input_sha256"});
  CHECK(differing(before, manifest_of(plan_of(), {.files = {}, .plugins = {{"cpu", "00"}}})) ==
        std::vector<std::string>{"plugin_sha256"});
}

TEST_CASE("run manifest - how a run is run may differ on a resume") {
  const nlohmann::json before = manifest_of(plan_of());
  Plan other = plan_of();
  other.run.drain = std::chrono::seconds(1);
  other.run.sync = SyncMode::none;
  other.cells[0].engine.in_flight = 3;
  other.cells[0].backend.threads = 7;
  const nlohmann::json after = manifest_of(other);
  CHECK(differing(before, after).empty());
  CHECK(before != after);  // yet it is written down
}

TEST_CASE("run manifest - standard input has no file to hash; a missing one ends the start") {
  CHECK(manifest_of(plan_of(), {.files = {"-"}, .plugins = {}}).at("input_sha256").empty());
  CHECK_THROWS_AS(run_manifest(plan_of(), {.files = {"no/such/file"}, .plugins = {}}), Error);
}

}  // namespace tenure::test
