// A benchmark's settings as a plan: resolved like a pipeline, so that a policy's defaults are those of a real
// run.
#pragma once

#include <cstdint>
#include <string>

#include "plan/plan.h"
#include "plugin/find.h"

namespace tenure {

struct BenchSettings {
  std::string model;  // GGUF file
  std::string backend = "cpu";
  std::string policy = "full";
  std::string budget;  // as in a pipeline: "1024" or "1/8"; empty = none
  std::string kv_type = "f16";
  uint32_t chunk = 0;       // 0 = the policy's default
  uint32_t batch_rows = 0;  // 0 = the backend's choice
  uint32_t threads = 2;
};

// One cell with one generate stage. Throws Error with every finding.
Plan bench_plan(const BenchSettings& settings, const PluginSearch& plugins);

// The policy of that stage; points into the plan.
const PolicyPlan& bench_policy(const Plan& plan);

}  // namespace tenure
