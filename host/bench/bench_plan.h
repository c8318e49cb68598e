// What a user asks of a benchmark, and the same as a plan: resolved like a pipeline, so that a policy's
// defaults are those of a real run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plan/plan.h"
#include "plugin/find.h"

namespace tenure {

struct BenchSettings {
  std::string model;                  // a file
  std::string backend;                // plugin id or path; empty = the default one
  std::vector<std::string> policies;  // plugin ids or paths; empty = the default one
  std::string budget;  // as in a pipeline: "1024", "1/8"; empty = none. Of the policies that release
  std::string kv_type = "f16";
  std::string memory = "8 GiB";  // most KV bytes
  uint32_t chunk = 0;            // prompt tokens between two decisions; 0 = the policy's default
  uint32_t period = 0;           // decode steps between two decisions; 0 = the policy's default
  uint32_t threads = 0;          // 0 = what the process may use
  // Every combination of these is one workload.
  std::vector<uint32_t> prompts = {1, 512};  // tokens fed
  std::vector<uint32_t> sequences = {1};     // at the same time
  uint32_t generate = 64;                    // tokens, of each sequence
  uint32_t repeat = 5;
};

// One cell with one generate stage a policy, in their order. Throws Error with every finding.
Plan bench_plan(const BenchSettings& settings, const PluginSearch& plugins);

// Those stages' policies.
std::vector<const PolicyPlan*> bench_policies(const Plan& plan);

}  // namespace tenure
