// The rows of compare stages, joined from the rows of the stages they take from once a cell is through. What was joined
// before a crash is not joined again; what a retry replaced is. Main thread, but for note().
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "plan/plan.h"
#include "record/row.h"
#include "record/row_file.h"
#include "record/row_index.h"

namespace tenure {

class Comparisons {
 public:
  // The plan outlives this.
  Comparisons(const Plan& plan, const std::string& results_path);

  // A row that lies at `offset` of the results file: of earlier processes in any order, then each as it is written.
  // Never while join() runs, save from its `write`.
  void note(const ResultRow& row, uint64_t offset);

  // Gives `write` every row that the cell's compare stages still lack. `keep_on` is asked before each; false ends it.
  void join(const CellPlan& cell, const std::function<void(const ResultRow&)>& write, const std::function<bool()>& keep_on) const;

 private:
  // A stage to compare, and the cell it ran in.
  struct Side {
    std::string stage;
    std::string cell;
  };
  struct Task {
    const CellPlan* cell = nullptr;
    const StagePlan* stage = nullptr;
    std::vector<Side> sides;  // the reference first
  };

  void join(const Task& task, const std::function<void(const ResultRow&)>& write, const std::function<bool()>& keep_on) const;
  static Task task_of(const CellPlan& cell, const StagePlan& stage);
  bool is_joined(const Task& task, const ResultRow& row) const;
  ResultRow joined(const Task& task, const ResultRow& row) const;

  bool has_work_ = false;  // the plan compares something
  RowFile file_;
  RowIndex rows_;
  std::map<std::string, uint64_t> first_row_;  // cell → where its first row begins
  uint64_t end_ = 0;                           // past the beginning of the last row
};

}  // namespace tenure
