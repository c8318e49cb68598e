// tenure compare: what changed from one run to another, and whether that is too much.
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>

#include "cli/commands.h"
#include "cli/streams.h"
#include "error/error.h"
#include "record/change_limit.h"
#include "record/file_io.h"
#include "record/json_writer.h"
#include "record/paired_runs.h"

namespace tenure::cli {
namespace {

// A run directory, or a file of rows.
std::string results_of(const std::string& run) {
  struct stat status {};
  const bool is_file = ::stat(run.c_str(), &status) == 0 && S_ISREG(status.st_mode);
  const std::string path = is_file ? run : run + "/results.jsonl";
  if (!file_exists(path)) {
    throw Error(Code::input_missing, fmt::format("\"{}\" has no results.jsonl: it is no run directory, or has no rows yet", run));
  }
  return path;
}

std::vector<ChangeLimit> limits_of(const Arguments& arguments) {
  std::vector<ChangeLimit> limits;
  for (const std::string& text : arguments.all("fail-if")) {
    auto parsed = parse_change_limit(text);
    if (const auto* why = std::get_if<std::string>(&parsed)) {
      throw Error(Diagnostic{.code = Code::usage,
                             .text = fmt::format("--fail-if \"{}\": {}", text, *why),
                             .help = "[stage/]metric (<|>) [-]N[%|pp] [@95%], such as \"exact_match < -2pp @95%\""});
    }
    limits.push_back(std::get<ChangeLimit>(std::move(parsed)));
  }
  return limits;
}

void check_missing(const PairedRuns& runs, bool allowed) {
  if (runs.n_only_a + runs.n_only_b == 0) return;
  std::string text = fmt::format("{} rows are in A only and {} in B only", runs.n_only_a, runs.n_only_b);
  for (const std::string& name : runs.only_a) text += fmt::format("\n  A only: {}", name);
  for (const std::string& name : runs.only_b) text += fmt::format("\n  B only: {}", name);
  if (!allowed) throw Error(Diagnostic{.code = Code::runs_do_not_pair, .text = text, .help = "--allow-missing compares what both have"});
  print_error("note: " + text);
}

struct Judged {
  const ChangeLimit* limit = nullptr;
  ChangeVerdict verdict;
};

std::vector<Judged> judge_all(const std::vector<ChangeLimit>& limits, const PairedRuns& runs) {
  std::vector<Judged> judged;
  for (const ChangeLimit& limit : limits) {
    for (ChangeVerdict& verdict : judge(limit, runs)) {
      if (!verdict.cannot.empty()) {
        throw Error(Code::runs_do_not_pair, fmt::format("--fail-if \"{}\": nothing can be said of {}: {}", limit.text, verdict.metric, verdict.cannot));
      }
      judged.push_back({&limit, std::move(verdict)});
    }
  }
  return judged;
}

// What the limits speak of; without limits everything.
std::vector<std::pair<PairedRuns::Key, const PairedMetric*>> shown_metrics(const PairedRuns& runs, const std::vector<Judged>& judged) {
  std::set<PairedRuns::Key> named;
  for (const Judged& j : judged) named.emplace(j.verdict.stage, j.verdict.cell, j.verdict.metric);
  std::vector<std::pair<PairedRuns::Key, const PairedMetric*>> shown;
  for (const auto& [key, metric] : runs.metrics) {
    if (judged.empty() || named.contains(key)) shown.emplace_back(key, &metric);
  }
  return shown;
}

// The change is exact, and so is its interval, where every pair changed by the same.
Interval interval_of(const PairedMetric& metric) { return metric.change.t_interval(0.95); }

std::string place_of(const std::string& stage, const std::string& cell) {
  return cell.empty() ? stage : fmt::format("{} [{}]", stage, cell);
}

std::string limit_text(const Judged& j) {
  const ChangeVerdict& v = j.verdict;
  const std::string_view unit = j.limit->unit == ChangeLimit::Unit::percent  ? "%"
                                : j.limit->unit == ChangeLimit::Unit::points ? "pp"
                                                                             : "";
  std::string text = fmt::format("{} {}: {} changed by {:.4g}{}", v.holds ? "FAIL" : "ok", j.limit->text,
                                 place_of(v.stage, v.cell), v.change, unit);
  if (j.limit->confidence) {
    text += fmt::format(" ({:g} %: {:.4g} to {:.4g})", *j.limit->confidence * 100, v.interval.low, v.interval.high);
  }
  return text + fmt::format(", n = {}", v.n);
}

std::string table_of(const PairedRuns& runs, const std::vector<Judged>& judged) {
  const auto shown = shown_metrics(runs, judged);
  size_t width = 5;
  for (const auto& [key, metric] : shown) width = std::max(width, place_of(std::get<0>(key), std::get<1>(key)).size());
  std::string text = fmt::format("{:<{}}  {:<24} {:>7} {:>12} {:>12} {:>12}   {}\n", "stage", width, "metric", "n", "mean A", "mean B",
                                 "B - A", "95 % interval");
  for (const auto& [key, metric] : shown) {
    const auto& [stage, cell, path] = key;
    const Interval interval = interval_of(*metric);
    text += fmt::format("{:<{}}  {:<24} {:>7} {:>12.6g} {:>12.6g} {:>12.4g}   ", place_of(stage, cell), width, path, metric->change.n(),
                        metric->a.mean(), metric->b.mean(), metric->change.mean());
    text += metric->change.n() < 2 ? "-\n" : fmt::format("{:.4g} to {:.4g}\n", interval.low, interval.high);
  }
  for (const Judged& j : judged) text += limit_text(j) + "\n";
  return text;
}

void write_interval(JsonWriter& json, const Interval& interval) {
  json.begin_array();
  json.number(interval.low);
  json.number(interval.high);
  json.end_array();
}

void write_metric(JsonWriter& json, const PairedRuns::Key& key, const PairedMetric& metric) {
  json.begin_object();
  json.key("stage").string(std::get<0>(key));
  json.key("cell").string(std::get<1>(key));
  json.key("metric").string(std::get<2>(key));
  json.key("n").unsigned_integer(metric.change.n());
  json.key("mean_a").number(metric.a.mean());
  json.key("mean_b").number(metric.b.mean());
  json.key("change").number(metric.change.mean());
  json.key("ci95");
  metric.change.n() < 2 ? json.null() : write_interval(json, interval_of(metric));
  json.end_object();
}

void write_judged(JsonWriter& json, const Judged& j) {
  json.begin_object();
  json.key("fail_if").string(j.limit->text);
  json.key("stage").string(j.verdict.stage);
  json.key("cell").string(j.verdict.cell);
  json.key("change").number(j.verdict.change);
  write_interval(json.key("interval"), j.verdict.interval);
  json.key("n").unsigned_integer(j.verdict.n);
  json.key("holds").boolean(j.verdict.holds);
  json.end_object();
}

std::string json_of(const PairedRuns& runs, const std::vector<Judged>& judged) {
  JsonWriter json;
  json.begin_object();
  json.key("pairs").unsigned_integer(runs.n_pairs);
  json.key("not_ok").unsigned_integer(runs.n_not_ok);
  json.key("only_a").unsigned_integer(runs.n_only_a);
  json.key("only_b").unsigned_integer(runs.n_only_b);
  json.key("metrics").begin_array();
  for (const auto& [key, metric] : shown_metrics(runs, judged)) write_metric(json, key, *metric);
  json.end_array();
  json.key("limits").begin_array();
  for (const Judged& j : judged) write_judged(json, j);
  json.end_array();
  json.end_object();
  return json.take() + "\n";
}

int compare(const Arguments& arguments) {
  const std::vector<ChangeLimit> limits = limits_of(arguments);
  const PairedRuns runs = pair_runs(results_of(arguments.positional()[0]), results_of(arguments.positional()[1]));
  check_missing(runs, arguments.has("allow-missing"));
  if (runs.n_not_ok > 0) print_error(fmt::format("note: of {} pairs {} have a row that is not ok", runs.n_pairs, runs.n_not_ok));
  const std::vector<Judged> judged = judge_all(limits, runs);
  print(arguments.has("json") ? json_of(runs, judged) : table_of(runs, judged));
  const bool failed = std::any_of(judged.begin(), judged.end(), [](const Judged& j) { return j.verdict.holds; });
  return failed ? exit_gate : exit_ok;
}

}  // namespace

Command compare_command() {
  return {.name = "compare",
          .operands = "A B",
          .min_operands = 2,
          .max_operands = 2,
          .summary = "what changed from run A to run B",
          .help =
              "  tenure compare runs/monday runs/tuesday\n  tenure compare baseline.jsonl runs/now --fail-if \"exact_match < -2pp "
              "@95%\" --fail-if \"answers/kv.peak_bytes > 5%\"",
          .options = {{.name = "fail-if",
                       .argument = "EXPR",
                       .help = "exit 100 when B - A is so: [stage/]metric (<|>) [-]N[%|pp] [@95%]",
                       .repeatable = true},
                      {.name = "allow-missing", .help = "rows that only one run has are left out"},
                      {.name = "json", .help = "print JSON instead of a table"}},
          .run = compare};
}

}  // namespace tenure::cli
