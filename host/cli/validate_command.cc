// tenure validate: everything a run would refuse before its first request, without running it.
#include <fmt/format.h>

#include <filesystem>
#include <set>

#include "cli/commands.h"
#include "cli/plan_loading.h"
#include "cli/streams.h"
#include "graph/policy_weights.h"

namespace tenure::cli {
namespace {

size_t n_stages(const Plan& plan) {
  std::set<std::string> ids;
  for (const CellPlan& cell : plan.cells) {
    for (const StagePlan& stage : cell.stages) ids.insert(stage.id);
  }
  return ids.size() + plan.writers.size();
}

// A pipeline may be written where its model is not, so this is no error here; a run says 66.
void note_missing_models(const Plan& plan) {
  std::set<std::string> paths;
  for (const CellPlan& cell : plan.cells) paths.insert(cell.model.path);
  for (const std::string& path : paths) {
    std::error_code failure;
    if (!std::filesystem::exists(path, failure)) print_error(fmt::format("note: no model file \"{}\"", path));
  }
}

std::string counted(size_t n, std::string_view thing) {
  return fmt::format("{} {}{}", n, thing, n == 1 ? "" : "s");
}

int validate(const Arguments& arguments) {
  const Plan plan = load_pipeline(arguments).plan;
  note_missing_models(plan);
  weights_files(plan, plugin_search(arguments));
  print(fmt::format("ok: {}, {}\n", counted(plan.cells.size(), "cell"), counted(n_stages(plan), "stage")));
  return exit_ok;
}

}  // namespace

Command validate_command() {
  return {
      .name = "validate",
      .operands = "PIPELINE",
      .min_operands = 1,
      .max_operands = 1,
      .summary = "check a pipeline, and show all its errors",
      .help =
          "  tenure validate pipelines/first.toml\n  tenure validate sweep.toml --set policy.h2o.budget=1/4",
      .options = pipeline_options(),
      .run = validate};
}

}  // namespace tenure::cli
