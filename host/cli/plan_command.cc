// tenure plan: what a run would do and take, without running it.
#include <fmt/format.h>

#include <filesystem>
#include <set>

#include "cli/cell_memory.h"
#include "cli/commands.h"
#include "cli/plan_loading.h"
#include "cli/resume_preview.h"
#include "cli/streams.h"
#include "plan/flatten.h"

namespace tenure::cli {
namespace {

std::string bytes_text(uint64_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (bytes < 1024) return fmt::format("{} B", bytes);
  if (bytes < 1024 * 1024) return fmt::format("{:.1f} KiB", value / 1024.0);
  return bytes < (uint64_t{1} << 30) ? fmt::format("{:.1f} MiB", value / 1048576.0)
                                     : fmt::format("{:.2f} GiB", value / 1073741824.0);
}

std::string memory_text(const Plan& plan, const PluginSearch& search) {
  MemoryPlanner planner(search);
  std::string text = "\nKV memory, for one session of the longest request that fits the model's context\n";
  text += fmt::format("  {:<16} {:<16} {:>11} {:>8} {:>8} {:>12} {:>12} {:>12}\n", "stage", "policy",
                      "bytes/token", "tokens", "budget", "reserved", "full cache", "side by side");
  std::set<std::string> costs;
  for (const CellPlan& cell : plan.cells) {
    std::error_code failure;
    if (plan.cells.size() > 1)
      text += fmt::format("cell {}\n", cell.name.empty() ? "(shared by all)" : cell.name);
    if (!std::filesystem::exists(cell.model.path, failure)) {
      text += fmt::format("  not known: no model file \"{}\"\n", cell.model.path);
      continue;
    }
    for (const StageMemory& stage : planner.cell(cell)) {
      text += fmt::format("  {:<16} {:<16} {:>11} {:>8} {:>8} {:>12} {:>12} {:>12}\n", stage.stage,
                          stage.policy, stage.token_bytes, stage.session_tokens,
                          stage.budget_slots > 0 ? fmt::format("{}", stage.budget_slots) : "-",
                          bytes_text(stage.reserved_bytes), bytes_text(stage.full_bytes), stage.n_sessions);
      for (const std::string& cost : stage.costs) costs.insert(fmt::format("  {}: {}\n", stage.policy, cost));
    }
  }
  if (!costs.empty()) text += "\nwhat policies ask for beside the KV cache, at most\n";
  for (const std::string& cost : costs) text += cost;
  return text;
}

int show_plan(const Arguments& arguments) {
  keep_stdout();
  const LoadedPlan loaded = load_pipeline(arguments);
  std::string text = plan_text(loaded.plan) + memory_text(loaded.plan, loaded.search);
  if (const auto run = arguments.get("out")) text += "\n" + resume_preview(loaded.plan, *run);
  print(text);
  return exit_ok;
}

}  // namespace

Command plan_command() {
  return {.name = "plan",
          .operands = "PIPELINE",
          .min_operands = 1,
          .max_operands = 1,
          .summary = "what a run would do and take",
          .help =
              "  tenure plan pipelines/first.toml\n  tenure plan sweep.toml --out runs/sweep     what a "
              "resume would skip",
          .options = pipeline_options_and(
              {{.name = "out",
                .letter = 'o',
                .argument = "RUN",
                .help = "a run directory: say what it holds already"},
               {.name = "limit", .argument = "N", .help = "at most so many requests of each reader"}}),
          .run = show_plan};
}

}  // namespace tenure::cli
