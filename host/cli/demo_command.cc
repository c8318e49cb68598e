// tenure demo: a whole run, offline, in seconds: a tiny model, a matrix of policies and budgets, a report.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>

#include "cli/commands.h"
#include "cli/demo_folder.h"
#include "cli/run_command.h"
#include "cli/streams.h"
#include "error/error.h"
#include "record/file_io.h"
#include "record/run_directory.h"
#include "report/report.h"

namespace tenure::cli {

namespace fs = std::filesystem;

fs::path demo_folder() {
  std::error_code failure;
  const fs::path program = fs::read_symlink("/proc/self/exe", failure);
  const fs::path folder = program.parent_path().parent_path() / TENURE_INSTALL_DATADIR / "tenure/demo";
  if (!failure && fs::exists(folder / "demo.toml", failure)) return folder;
  throw Error(Code::input_missing,
              fmt::format("the demo's files are not in \"{}\", where they are installed", folder.string()));
}

namespace {

std::string fresh_directory() {
  const bool can_write_here = ::access(".", W_OK) == 0;
  return RunDirectory::make_default(
      can_write_here ? "runs" : (fs::temp_directory_path() / "tenure-runs").string(), "demo");
}

std::string axis_text(const CellSummary& cell, const std::string& axis, const std::string& otherwise) {
  for (const auto& [key, value] : cell.axes) {
    const auto* text = std::get_if<std::string>(&value);
    if (key == axis && text) return *text;
  }
  return otherwise;
}

double mean(const CellSummary& cell, const std::string& metric) {
  const auto it = cell.group.metrics.find(metric);
  return it == cell.group.metrics.end() ? 0.0 : it->second.mean;
}

std::string table(const Summary& summary) {
  std::string text = fmt::format("{:<16} {:>6} {:>8} {:>12} {:>14} {:>16}\n", "policy", "budget", "answers",
                                 "KV peak", "of full cache", "slots released");
  for (const CellSummary& cell : summary.cells) {
    const double peak = mean(cell, "kv.peak_bytes");
    const double full = mean(cell, "kv.full_bytes");
    text += fmt::format("{:<16} {:>6} {:>8} {:>8.1f} KiB {:>12.0f} % {:>16.0f}\n",
                        axis_text(cell, "policy.bounded.plugin", cell.policy),
                        axis_text(cell, "policy.bounded.budget", "-"), cell.group.n.ok, peak / 1024.0,
                        full > 0 ? 100.0 * peak / full : 0.0, mean(cell, "events.released"));
  }
  return text;
}

int demo(const Arguments& arguments) {
  const fs::path folder = demo_folder();
  RunWish wish{.source = {.file = (folder / "demo.toml").string(),
                          .set = {"model.path=" + (folder / "model.gguf").string()}}};
  wish.out = arguments.get("out").value_or("");
  if (wish.out.empty()) wish.out = fresh_directory();
  const RunOutcome outcome = run_pipeline(wish);
  if (!outcome.summary) print_error(fmt::format("\"{}\" holds a demo that is done", outcome.directory));
  std::string text = outcome.summary ? table(*outcome.summary) + "\n" : "";
  if (file_exists(outcome.directory + "/results.jsonl")) {
    text += fmt::format("rows    {}/results.jsonl\nreport  {}\n", outcome.directory,
                        write_report({outcome.directory}));
  }
  print(text);
  return outcome.exit_code;
}

}  // namespace

Command demo_command() {
  return {.name = "demo",
          .summary = "see it work: three policies, two budgets, offline",
          .help = "  tenure demo",
          .options = {{.name = "out",
                       .letter = 'o',
                       .argument = "RUN",
                       .help = "the run directory (runs/demo-<time>-<random>)"}},
          .run = demo};
}

}  // namespace tenure::cli
