#include "cli/run_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "cli/commands.h"
#include "cli/progress_bar.h"
#include "cli/signals.h"
#include "cli/streams.h"
#include "error/error.h"
#include "graph/request_source.h"
#include "graph/run.h"
#include "graph/policy_weights.h"
#include "graph/run_manifest.h"
#include "record/file_io.h"
#include "tensor/sha256.h"

namespace tenure::cli {
namespace {

namespace fs = std::filesystem;

// How the run was asked for: enough to do it again from RUN alone, also when the pipeline file has moved.
nlohmann::json invocation_json(const RunWish& wish) {
  const PipelineSource& source = wish.source;
  const bool is_file = !source.file.empty();
  nlohmann::json json = {{"text", is_file ? read_file(source.file) : source.text},
                         {"name", is_file ? fs::path(source.file).stem().string() : source.name},
                         {"folder", is_file ? fs::absolute(source.file).parent_path().string() : source.folder},
                         {"set", source.set},
                         {"plugin_dirs", wish.plugin_dirs}};
  if (source.limit) json["limit"] = *source.limit;
  return json;
}

RunWish wish_in(const std::string& run) {
  try {
    const auto manifest = nlohmann::json::parse(read_file(run + "/manifest.json"));
    const auto& json = manifest.at("invocation");
    RunWish wish{.source = {.text = json.at("text"), .name = json.at("name"), .folder = json.at("folder"), .set = json.at("set")},
                 .plugin_dirs = json.at("plugin_dirs"),
                 .out = run};
    if (json.contains("limit")) wish.source.limit = json.at("limit").get<uint64_t>();
    return wish;
  } catch (const nlohmann::json::exception&) {
    throw Error(Code::run_malformed, fmt::format("\"{}/manifest.json\" is not the manifest of a run", run));
  }
}

// Every read stage's files, each once, "-" for standard input.
std::vector<std::string> input_files(const Plan& plan) {
  std::set<std::string> seen;
  std::vector<std::string> files;
  for (const CellPlan& cell : plan.cells) {
    for (const StagePlan& stage : cell.stages) {
      const auto* read = std::get_if<ReadPlan>(&stage.work);
      if (read == nullptr) continue;
      for (std::string& file : expand_paths(read->paths, "-")) {
        if (seen.insert(file).second) files.push_back(std::move(file));
      }
    }
  }
  return files;
}

std::vector<std::pair<std::string, std::string>> plugin_hashes(const Plan& plan, const PluginSearch& search) {
  std::map<std::string, std::string> hashes;
  const auto add = [&](const std::string& plugin, PluginKind kind) {
    const PluginFile file = resolve_plugin(search, plugin, kind);
    hashes.try_emplace(file.manifest.id, sha256_file(file.library.string()));
  };
  const auto add_policy = [&](const PolicyPlan& policy) {
    add(policy.plugin, PluginKind::policy);
    if (policy.inner) add(policy.inner->plugin, PluginKind::policy);
  };
  for (const CellPlan& cell : plan.cells) {
    add(cell.backend.plugin, PluginKind::backend);
    for (const StagePlan& stage : cell.stages) {
      if (const auto* generate = std::get_if<GeneratePlan>(&stage.work)) add_policy(generate->policy);
      if (const auto* score = std::get_if<ScorePlan>(&stage.work)) add_policy(score->policy);
    }
  }
  return {hashes.begin(), hashes.end()};
}

// A compare stage's figures: "delta [cell]: agree_tokens 14.2, kv.peak_bytes 0.31".
void print_compared(const CellSummary& cell) {
  constexpr std::string_view prefix = "compare.";
  std::string text;
  for (const auto& [path, metric] : cell.group.metrics) {
    if (!path.starts_with(prefix)) continue;
    text += fmt::format("{} {} {:.4g}", text.empty() ? "" : ",", path.substr(prefix.size()), metric.mean);
  }
  if (text.empty()) return;
  print_error(fmt::format("{}{}:{}", cell.stage, cell.cell.empty() ? "" : fmt::format(" [{}]", cell.cell), text));
}

void print_summary(const Summary& summary) {
  print_error(fmt::format("{:<24} {:<16} {:>5} {:>6} {:>9} {:>10} {:>9}", "cell", "stage", "ok", "errors", "match", "KV peak", "tok/s"));
  for (const CellSummary& cell : summary.cells) {
    const auto mean = [&](const char* metric) -> std::optional<double> {
      const auto it = cell.group.metrics.find(metric);
      if (it == cell.group.metrics.end()) return std::nullopt;
      return it->second.mean;
    };
    const auto text = [](std::optional<double> value, double unit, const char* suffix) {
      return value ? fmt::format("{:.2f}{}", *value / unit, suffix) : std::string("-");
    };
    print_error(fmt::format("{:<24} {:<16} {:>5} {:>6} {:>9} {:>10} {:>9}", cell.cell.empty() ? "-" : cell.cell, cell.stage,
                            cell.group.n.ok, cell.group.n.error + cell.group.n.limit, text(mean("exact_match"), 1, ""),
                            text(mean("kv.peak_bytes"), 1048576.0, " MiB"), text(mean("timing.decode_tps"), 1, "")));
  }
  for (const CellSummary& cell : summary.cells) print_compared(cell);
  for (const GateResult& gate : summary.gates) print_error(fmt::format("gate: {} ({})", gate.text, to_string(gate.status)));
}

RunOutcome run_in(RunDirectory& directory, const Plan& plan, Runtime& runtime, const RunWish& wish,
                  const std::vector<std::string>& inputs) {
  std::string standard_input;
  if (std::find(inputs.begin(), inputs.end(), "-") != inputs.end()) standard_input = directory.keep_requests(STDIN_FILENO);
  ProgressBar bar({.quiet = wish.quiet});
  RunOutcome outcome{.directory = directory.path(), .summary = std::nullopt, .exit_code = 0};
  outcome.summary = run_plan({.plan = &plan,
                              .directory = &directory,
                              .runtime = &runtime,
                              .retry_errors = wish.retry_errors,
                              .standard_input = standard_input,
                              .stop = &stop_requested(),
                              .show = [&](const Progress& progress) { bar.show(progress); },
                              .tell = [&](const std::string& text) { bar.tell("alert: " + text); }});
  outcome.exit_code = outcome.summary->verdict.exit_code;
  return outcome;
}

int finish(const RunOutcome& outcome, bool quiet) {
  if (!quiet && outcome.summary) print_summary(*outcome.summary);
  if (!outcome.summary) print_error("done already");
  if (outcome.summary && (!quiet || outcome.exit_code != exit_ok)) {
    for (const std::string& reason : outcome.summary->verdict.reasons) print_error("note: " + reason);
  }
  print(outcome.directory + "\n");
  return outcome.exit_code;
}

int run(const Arguments& arguments) {
  RunWish wish{.source = pipeline_source(arguments), .out = arguments.get("out").value_or(""), .quiet = arguments.has("quiet")};
  for (const std::string& folder : arguments.all("plugin-dir")) wish.plugin_dirs.push_back(fs::absolute(folder).string());
  return finish(run_pipeline(wish), wish.quiet);
}

int resume(const Arguments& arguments) {
  const std::string& directory = arguments.positional().front();
  if (run_state(directory) == RunState::absent) {
    throw Error(Code::input_missing, fmt::format("\"{}\" is not a run directory: it has no manifest.json", directory));
  }
  RunWish wish = wish_in(directory);
  wish.retry_errors = arguments.has("retry-errors");
  wish.quiet = arguments.has("quiet");
  return finish(run_pipeline(wish), wish.quiet);
}

}  // namespace

RunOutcome run_pipeline(const RunWish& wish) {
  keep_stdout();
  stop_requested();
  PluginSearch search = search_plugins(search_folders({wish.plugin_dirs.begin(), wish.plugin_dirs.end()}));
  const Plan plan = plan_of(wish.source, search);
  const std::vector<std::string> inputs = input_files(plan);
  auto manifest = nlohmann::json::parse(run_manifest(plan, {.files = inputs, .plugins = plugin_hashes(plan, search), .weights = weights_files(plan, search)}));
  manifest["invocation"] = invocation_json(wish);
  std::vector<std::string> free_keys = free_manifest_keys();
  free_keys.push_back("invocation");
  Runtime runtime(std::move(search), [](uint32_t, std::string_view id, std::string_view text) {
    print_error(fmt::format("{}: {}", id, text));
  });
  // What cannot start leaves no run directory behind.
  if (wish.out.empty() || run_state(wish.out) == RunState::absent) runtime.load(plan.cells.front());
  const std::string out = wish.out.empty() ? RunDirectory::make_default("runs", plan.name) : wish.out;
  RunDirectory directory = RunDirectory::open({.path = out, .manifest = manifest.dump(2), .free_keys = free_keys, .inputs = inputs});
  const bool done = directory.found_state() == RunState::done && !wish.retry_errors;
  if (done) return {.directory = out, .summary = std::nullopt, .exit_code = 0};
  return run_in(directory, plan, runtime, wish, inputs);
}

Command run_command() {
  return {.name = "run",
          .operands = "PIPELINE",
          .min_operands = 1,
          .max_operands = 1,
          .summary = "run a pipeline; again: resume it",
          .help = "  tenure run pipelines/first.toml --out runs/first\n  tenure run sweep.toml --set policy.h2o.budget=1/4 --limit 100",
          .options = pipeline_options_and(
              {{.name = "out", .letter = 'o', .argument = "RUN", .help = "the run directory (runs/<pipeline>-<time>-<random>)"},
               {.name = "limit", .argument = "N", .help = "at most so many requests of each reader"},
               {.name = "quiet", .letter = 'q', .help = "no progress, no table"}}),
          .run = run};
}

Command resume_command() {
  return {.name = "resume",
          .operands = "RUN",
          .min_operands = 1,
          .max_operands = 1,
          .summary = "go on with a run that was stopped",
          .help = "  tenure resume runs/first --retry-errors",
          .options = {{.name = "retry-errors", .help = "do rows that ended in an error again"},
                      {.name = "quiet", .letter = 'q', .help = "no progress, no table"}},
          .run = resume};
}

}  // namespace tenure::cli
