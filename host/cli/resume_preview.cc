#include "cli/resume_preview.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "graph/request_source.h"
#include "plan/flatten.h"
#include "record/file_io.h"
#include "record/json_value.h"
#include "record/run_directory.h"

namespace tenure::cli {
namespace {

// Keys of the plan that RUN was started with other values of.
std::vector<std::string> different_keys(const Plan& plan, const std::string& run) {
  const auto manifest = parse_json(read_file(run + "/manifest.json"));
  const auto* json = std::get_if<JsonValue>(&manifest);
  const JsonValue* recorded = json ? json->find("plan") : nullptr;
  if (!recorded || !recorded->object()) {
    throw Error(Code::run_malformed, fmt::format("\"{}/manifest.json\" is not the manifest of a run", run));
  }
  std::vector<std::string> keys;
  const auto now = flatten(plan);
  for (const auto& [key, text] : now) {
    const JsonValue* before = recorded->find(key);
    const bool same = before && before->string() && *before->string() == text;
    if (!may_differ(key) && !same) keys.push_back(key);
  }
  for (const JsonMember& member : *recorded->object()) {
    if (!now.contains(member.key)) keys.push_back(member.key);
  }
  return keys;
}

struct RowTally {
  uint64_t done = 0, total = 0;
};

uint64_t n_samples(const StagePlan& stage, const Request& request) {
  const auto* generate = std::get_if<GeneratePlan>(&stage.work);
  if (generate == nullptr) return 1;
  return static_cast<uint64_t>(request.options.samples.value_or(generate->samples));
}

const StagePlan* stage_of(const CellPlan& cell, const std::string& id) {
  const auto at = std::find_if(cell.stages.begin(), cell.stages.end(), [&](const StagePlan& s) { return s.id == id; });
  return at == cell.stages.end() ? nullptr : &*at;
}

// The stage whose requests and samples the stage's rows follow: itself, or of a compare stage one it takes from.
const StagePlan& followed(const CellPlan& cell, const StagePlan& stage) {
  if (stage.kind != StageKind::compare) return stage;
  for (const std::string& id : stage.from) {
    if (const StagePlan* side = stage_of(cell, id)) return *side;
  }
  return stage;
}

RowTally tally(const CellPlan& cell, const StagePlan& stage, const std::string& run, const RowIndex& rows) {
  const StagePlan& source_stage = followed(cell, stage);
  const StagePlan* reader = stage_of(cell, source_stage.from.front());
  if (reader == nullptr || !std::holds_alternative<ReadPlan>(reader->work)) return {};
  RequestSource source(*reader,
                       expand_paths(std::get<ReadPlan>(reader->work).paths, run + "/requests.jsonl"));
  RowTally result;
  while (const auto parsed = source.next()) {
    const auto* request = std::get_if<Request>(&*parsed);
    const std::string& id = request ? request->id : std::get<RequestError>(*parsed).id;
    const uint64_t n = request ? n_samples(source_stage, *request) : 1;
    result.total += n;
    for (uint64_t sample = 0; sample < n; ++sample) {
      if (rows.is_done(id, cell.name, stage.id, static_cast<int64_t>(sample))) ++result.done;
    }
  }
  return result;
}

}  // namespace

std::string resume_preview(const Plan& plan, const std::string& run) {
  const RunState state = run_state(run);
  if (state == RunState::absent) return fmt::format("\"{}\" is no run yet: every row would be made\n", run);
  if (const auto keys = different_keys(plan, run); !keys.empty()) {
    std::string text =
        fmt::format("\"{}\" was started with another plan, so a run would refuse (78):\n", run);
    for (const std::string& key : keys) text += fmt::format("  {}\n", key);
    return text;
  }
  if (state == RunState::done) return fmt::format("\"{}\" is done: a run would do nothing\n", run);
  const RowIndex rows = RowIndex::read(run + "/results.jsonl");
  std::string text = fmt::format("\"{}\" is unfinished; a run would skip what is there:\n", run);
  for (const CellPlan& cell : plan.cells) {
    for (const StagePlan& stage : cell.stages) {
      if (std::holds_alternative<ReadPlan>(stage.work)) continue;
      const RowTally n = tally(cell, stage, run, rows);
      text += fmt::format("  {:<32} {:<16} skips {} of {} rows\n", cell.name.empty() ? "-" : cell.name,
                          stage.id, n.done, n.total);
    }
  }
  return text;
}

}  // namespace tenure::cli
