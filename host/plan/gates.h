// [[gate]]: what must hold of the rows.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "manifest/findings.h"
#include "plan/plan.h"

namespace tenure {

// What a gate may refer to.
struct GateScope {
  std::map<std::string, StageKind> stages;
  std::map<std::string, std::vector<std::string>> compared;  // compare stage → the names in its rows' `compare`
  std::map<std::string, std::set<std::string>> axes;         // axis → the values it takes in some cell
};

std::vector<GatePlan> read_gates(const TomlValue& root, const GateScope&, Findings&);

}  // namespace tenure
