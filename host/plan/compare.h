// [[stage]] kind = "compare": its keys, and what its metrics ask of the stages it takes from. Internal to this room.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "manifest/table_reader.h"
#include "plan/dag.h"
#include "plan/plan.h"

namespace tenure {

ComparePlan read_compare(TableReader&);

// A reference and at least one other, none of them twice.
void check_compare_from(const TomlMember& member, const std::vector<std::string>& from, TableReader&);

// Metrics of what was generated need stages that generate. Nodes are those of the stages, in their order.
void check_compared_kinds(const std::vector<StagePlan>&, const std::vector<DagNode>&, Findings&);

// kl and top1 need a reference that is through before what is compared with it, request by request. `touched`: ids of the
// stages that differ between cells.
void check_references(const std::vector<StagePlan>&, const std::set<std::string>& touched, Findings&);

// The names under `compare` in the stage's rows: its metrics, behind the compared stage's id where there are several.
std::vector<std::string> compared_names(const StagePlan&);

}  // namespace tenure
