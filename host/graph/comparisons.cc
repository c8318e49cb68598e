#include "graph/comparisons.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "eval/compare_rows.h"
#include "graph/axis_value.h"

namespace tenure {
namespace {

bool compares(const StagePlan& stage) { return stage.kind == StageKind::compare; }

// Why a side cannot be compared; nullopt when it can.
std::optional<RowError> obstacle(const std::string& stage, const std::optional<ResultRow>& row) {
  if (!row) return RowError{.code = RowCode::bad_request, .message = fmt::format("stage \"{}\" has no row of this request and sample", stage)};
  if (row->status == RowStatus::ok) return std::nullopt;
  if (!row->error) return RowError{.code = RowCode::internal, .message = fmt::format("stage \"{}\": {}", stage, to_string(row->status))};
  return RowError{.code = row->error->code, .message = fmt::format("stage \"{}\": {}", stage, row->error->message), .plugin = row->error->plugin};
}

}  // namespace

Comparisons::Comparisons(const Plan& plan, const std::string& results_path) : file_(results_path) {
  for (const CellPlan& cell : plan.cells) {
    has_work_ = has_work_ || std::any_of(cell.stages.begin(), cell.stages.end(), compares);
  }
}

void Comparisons::note(const ResultRow& row, uint64_t offset) {
  if (!has_work_) return;
  rows_.add(row, offset);
  const auto [first, is_new] = first_row_.try_emplace(row.cell, offset);
  first->second = std::min(first->second, offset);
  end_ = std::max(end_, offset + 1);
}

Comparisons::Task Comparisons::task_of(const CellPlan& cell, const StagePlan& stage) {
  Task task{.cell = &cell, .stage = &stage, .sides = {}};
  for (const std::string& id : stage.from) {
    const bool is_here = std::any_of(cell.stages.begin(), cell.stages.end(), [&](const StagePlan& s) { return s.id == id; });
    task.sides.push_back({.stage = id, .cell = is_here ? cell.name : std::string()});
  }
  return task;
}

void Comparisons::join(const CellPlan& cell, const std::function<void(const ResultRow&)>& write,
                       const std::function<bool()>& keep_on) const {
  for (const StagePlan& stage : cell.stages) {
    if (compares(stage)) join(task_of(cell, stage), write, keep_on);
  }
}

// What only a shared stage has a row of is left out where another side ran in the cell itself.
void Comparisons::join(const Task& task, const std::function<void(const ResultRow&)>& write,
                       const std::function<bool()>& keep_on) const {
  const auto is_here = [&](const Side& side) { return side.cell == task.cell->name; };
  const std::string driver = std::any_of(task.sides.begin(), task.sides.end(), is_here) ? task.cell->name : std::string();
  const auto first = first_row_.find(driver);
  if (first == first_row_.end()) return;
  file_.visit(first->second, end_, [&](const ResultRow& row, uint64_t) {
    const bool is_side = std::any_of(task.sides.begin(), task.sides.end(), [&](const Side& side) {
      return side.stage == row.stage && side.cell == row.cell && side.cell == driver;
    });
    if (!is_side || is_joined(task, row)) return true;
    if (!keep_on()) return false;
    write(joined(task, row));
    return true;
  });
}

// A joined row counts while it is younger than all it was made of.
bool Comparisons::is_joined(const Task& task, const ResultRow& row) const {
  const RowMark* mark = rows_.find(row.id, task.cell->name, task.stage->id, row.sample);
  return mark != nullptr && std::all_of(task.sides.begin(), task.sides.end(), [&](const Side& side) {
           const RowMark* source = rows_.find(row.id, side.cell, side.stage, row.sample);
           return source == nullptr || source->offset < mark->offset;
         });
}

ResultRow Comparisons::joined(const Task& task, const ResultRow& row) const {
  std::vector<std::optional<ResultRow>> sides;
  for (const Side& side : task.sides) {
    const RowMark* mark = rows_.find(row.id, side.cell, side.stage, row.sample);
    sides.push_back(mark != nullptr ? file_.at(mark->offset) : std::nullopt);
  }
  ResultRow out;
  out.id = row.id;
  out.cell = task.cell->name;
  for (const auto& [path, text] : task.cell->axes) out.axes.emplace_back(path, axis_value(text));
  out.stage = task.stage->id;
  if (sides.size() == 2 && sides[1]) out.policy = sides[1]->policy;
  out.sample = row.sample;
  out.attempt = rows_.next_attempt(row.id, out.cell, out.stage, row.sample);
  out.seed = row.seed;
  out.determinism = row.determinism;
  out.label = row.label;
  out.metadata = row.metadata;
  out.usage = row.usage;

  const auto& metrics = std::get<ComparePlan>(task.stage->work).metrics;
  std::optional<RowError> why_not = obstacle(task.sides[0].stage, sides[0]);
  bool is_compared = false;
  for (size_t i = 1; i < sides.size() && sides[0] && sides[0]->status == RowStatus::ok; ++i) {
    if (auto error = obstacle(task.sides[i].stage, sides[i])) {
      if (!why_not) why_not = std::move(error);
      continue;
    }
    is_compared = true;
    for (auto& [name, value] : compare_rows(*sides[0], *sides[i], metrics)) {
      out.compare.emplace_back(sides.size() == 2 ? name : fmt::format("{}.{}", task.sides[i].stage, name), value);
    }
  }
  if (!is_compared) out.status = RowStatus::skipped;
  out.error = std::move(why_not);
  return out;
}

}  // namespace tenure
