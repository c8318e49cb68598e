// tenure report: one self-contained HTML file from a run's rows.
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/streams.h"
#include "error/error.h"
#include "record/file_io.h"
#include "record/run_directory.h"
#include "report/report.h"

namespace tenure::cli {
namespace {

int report(const Arguments& arguments) {
  const std::string& run = arguments.positional().front();
  if (!file_exists(run + "/results.jsonl")) {
    const bool started = run_state(run) != RunState::absent;
    throw Error(Code::input_missing,
                fmt::format("\"{}\" has no results.jsonl: {}", run,
                            started ? "the run has no rows yet" : "it is not a run directory"));
  }
  print(write_report({run}, arguments.get("output").value_or("")) + "\n");
  return exit_ok;
}

}  // namespace

Command report_command() {
  return {.name = "report",
          .operands = "RUN",
          .min_operands = 1,
          .max_operands = 1,
          .summary = "a run as one HTML file",
          .help = "  tenure report runs/first -o first.html",
          .options = {{.name = "output", .letter = 'o', .argument = "FILE", .help = "(RUN/report.html)"}},
          .run = report};
}

}  // namespace tenure::cli
