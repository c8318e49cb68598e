// An evaluation's policies and budgets as a pipeline, so that every key means what it means there.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plan/plan.h"
#include "plugin/find.h"

namespace tenure::cli {

struct EvalPolicies {
  std::string model;                  // a file or a folder
  std::string backend;                // plugin id or path; empty = the default one
  std::vector<std::string> policies;  // plugin ids or paths
  std::vector<std::string> budgets;   // as in a pipeline: "128", "1/8"
  std::vector<std::string> set;  // "policy.KEY=VALUE" is every policy's, "policy.ID.KEY=VALUE" one policy's
  uint32_t chunk = 0;            // prompt tokens between two decisions; 0 = the policy's default
  uint32_t threads = 0;          // 0 = what the process may use
};

// A policy under a budget, and the stage that is to run it.
struct PlannedLine {
  std::string policy;  // as the user named it
  PolicyPlan plan;
};

struct EvalPlan {
  Plan plan;                       // one cell
  std::vector<PlannedLine> lines;  // the full cache first, as no key changes it; then each policy's budgets
};

// A policy that releases nothing is a line of its own only where a key changes it. Throws Error with every
// finding.
EvalPlan plan_evaluation(const EvalPolicies& wanted, const PluginSearch& plugins);

}  // namespace tenure::cli
