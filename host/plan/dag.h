// The stages as a graph: edges lead somewhere, ports fit, nothing runs in a circle.
#pragma once

#include <string>
#include <vector>

#include "manifest/findings.h"
#include "plan/plan.h"

namespace tenure {

struct DagEdge {
  std::string from;
  Place place;  // of the name in `from`
};

struct DagNode {
  std::string id;
  StageKind kind = StageKind::read_jsonl;
  std::vector<DagEdge> edges;
};

// Indices of the nodes, each after those it takes from, otherwise in the given order; nodes on a cycle come
// last. Ids are unique.
std::vector<size_t> check_dag(const std::vector<DagNode>&, Findings&);

}  // namespace tenure
