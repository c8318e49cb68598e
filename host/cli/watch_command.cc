// tenure watch: how far a run is, seen from outside.
#include <fmt/format.h>
#include <sys/stat.h>

#include <chrono>
#include <ctime>
#include <thread>
#include <variant>

#include "cli/commands.h"
#include "cli/plan_loading.h"
#include "cli/progress_bar.h"
#include "cli/streams.h"
#include "error/error.h"
#include "record/file_io.h"
#include "record/json_value.h"
#include "record/run_directory.h"

namespace tenure::cli {
namespace {

constexpr auto poll = std::chrono::milliseconds(200);
constexpr std::time_t silence_s = 30;  // a run writes its progress each second

bool has_ended(const std::string& state) { return state == "done" || state == "stopped" || state == "failed"; }

// What the run itself ended with.
int exit_code_of(const std::string& run) {
  const std::string path = run + "/summary.json";
  if (!file_exists(path)) return exit_ok;
  const auto parsed = parse_json(read_file(path));
  const auto* summary = std::get_if<JsonValue>(&parsed);
  const JsonValue* code = summary ? summary->find("exit_code") : nullptr;
  return code ? static_cast<int>(code->integer().value_or(exit_ok)) : exit_ok;
}

// Seconds since the file was written; 0 when that cannot be told.
std::time_t age_of(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? std::time(nullptr) - status.st_mtime : 0;
}

int watch(const Arguments& arguments) {
  const std::string& run = arguments.positional().front();
  if (run_state(run) == RunState::absent) {
    throw Error(Code::input_missing, fmt::format("\"{}\" is not a run directory: it has no manifest.json", run));
  }
  const std::chrono::seconds interval(count_option(arguments, "interval").value_or(10));
  const std::string path = run + "/progress.json";
  ProgressBar bar({.interval = interval, .begins_at_once = true});
  uint64_t n_alerts = 0;
  bool was_silent = false;
  for (;; std::this_thread::sleep_for(poll)) {
    const bool is_done = run_state(run) == RunState::done;
    const auto progress = file_exists(path) ? parse_progress(read_file(path)) : std::nullopt;
    if (progress && progress->n_alerts > n_alerts) {
      n_alerts = progress->n_alerts;
      const auto& [stage, alert] = progress->alerts.back();
      bar.tell(fmt::format("{} alerts; the last: {}, {} is {:.4g}, limit {:.4g}", n_alerts, stage, alert.metric, alert.value, alert.limit));
    }
    if (progress && (is_done || has_ended(progress->state))) {
      bar.finish(*progress);
      return exit_code_of(run);
    }
    if (is_done) return exit_code_of(run);
    if (progress) bar.show(*progress);
    const bool is_silent = age_of(path) > silence_s;
    if (is_silent && !was_silent) bar.tell(fmt::format("no progress since {} s: the run may have been killed; run it again to go on", age_of(path)));
    was_silent = is_silent;
  }
}

}  // namespace

Command watch_command() {
  return {.name = "watch",
          .operands = "RUN",
          .min_operands = 1,
          .max_operands = 1,
          .summary = "how far a run is, until it ends",
          .help = "  tenure watch runs/first\n\nEnds with the run, and with its exit code.",
          .options = {{.name = "interval", .argument = "SECONDS", .help = "between two lines where stderr is no terminal (10)"}},
          .run = watch};
}

}  // namespace tenure::cli
