#include "report/run_data.h"

#include <fmt/format.h>

#include <filesystem>
#include <map>

#include "error/error.h"
#include "record/file_io.h"
#include "record/json_value.h"
#include "record/row_index.h"

namespace tenure {
namespace {

std::optional<JsonValue> read_json(const std::string& path) {
  if (!file_exists(path)) return std::nullopt;
  auto parsed = parse_json(read_file(path));
  if (auto* value = std::get_if<JsonValue>(&parsed)) return std::move(*value);
  return std::nullopt;
}

std::string shown(const JsonValue& value) {
  if (value.string()) return *value.string();
  std::string text;
  append_json(text, value);
  return text;
}

std::string text_at(const JsonValue& object, std::string_view key) {
  const JsonValue* value = object.find(key);
  return value && !value->is_null() ? shown(*value) : std::string();
}

uint64_t count_at(const JsonValue& object, std::string_view key) {
  const JsonValue* value = object.find(key);
  return value ? value->unsigned_integer().value_or(0) : 0;
}

void flatten(const JsonValue& value, const std::string& path,
             std::vector<std::pair<std::string, std::string>>& out) {
  const auto* members = value.object();
  if (!members) {
    out.emplace_back(path, shown(value));
    return;
  }
  for (const JsonMember& member : *members) {
    flatten(member.value, path.empty() ? member.key : path + "." + member.key, out);
  }
}

void read_summary(const JsonValue& summary, RunData& run) {
  run.has_summary = true;
  run.verdict = text_at(summary, "verdict");
  if (const JsonValue* code = summary.find("exit_code"))
    run.exit_code = static_cast<int>(code->integer().value_or(0));
  run.rss_peak_bytes = count_at(summary, "rss_peak_bytes");
  run.pool_peak_bytes = count_at(summary, "pool_peak_bytes");
  run.weights_bytes = count_at(summary, "weights_bytes");
  if (const JsonValue* reasons = summary.find("reasons"); reasons && reasons->array()) {
    for (const JsonValue& reason : *reasons->array()) run.reasons.push_back(shown(reason));
  }
  if (const JsonValue* gates = summary.find("gates"); gates && gates->array()) {
    for (const JsonValue& gate : *gates->array()) {
      run.gates.push_back(
          {text_at(gate, "stage"), text_at(gate, "cell"), text_at(gate, "status"), text_at(gate, "text")});
    }
  }
}

// Keeps, for each (cell, stage), the curve of the row that fed most tokens.
class LongestCurves {
 public:
  void add(const ResultRow& row) {
    CacheCurve curve{.cell = row.cell, .stage = row.stage, .points = row.kv_curve};
    if (curve.points.empty() && row.segments.size() > 1) {
      curve.by_segment = true;
      for (const RowSegment& segment : row.segments)
        curve.points.push_back({segment.index + 1, segment.kv_bytes});
    }
    if (curve.points.size() < 2) return;
    const int64_t fed = row.usage ? row.usage->prompt_tokens : 0;
    const auto [at, is_new] = longest_.try_emplace({row.cell, row.stage}, fed, curves_.size());
    if (is_new) {
      curves_.push_back(std::move(curve));
    } else if (fed > at->second.first) {
      at->second.first = fed;
      curves_[at->second.second] = std::move(curve);
    }
  }
  std::vector<CacheCurve> take() { return std::move(curves_); }

 private:
  std::map<std::pair<std::string, std::string>, std::pair<int64_t, size_t>> longest_;
  std::vector<CacheCurve> curves_;
};

void add_failure(const ResultRow& row, RunData& run) {
  if (row.status != RowStatus::error && row.status != RowStatus::limit) return;
  if (run.failures.size() == RunData::max_failures) return;
  const RowError error = row.error.value_or(RowError{});
  run.failures.push_back({row.id, row.cell, row.stage,
                          std::string(row.error ? to_string(error.code) : to_string(row.status)),
                          error.message, error.plugin, row.text});
}

}  // namespace

RunData read_run(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(path, ignored)) {
    throw Error(Code::input_missing, fmt::format("{} is no run directory", path));
  }
  RunData run;
  run.path = path;
  run.name = std::filesystem::path(path).lexically_normal().filename().string();
  if (run.name.empty()) run.name = std::filesystem::path(path).parent_path().filename().string();
  run.state = run_state(path);
  if (const auto manifest = read_json(path + "/manifest.json")) flatten(*manifest, "", run.manifest);
  if (const auto summary = read_json(path + "/summary.json")) read_summary(*summary, run);
  if (run.verdict.empty()) run.verdict = "unfinished";

  const std::string results = path + "/results.jsonl";
  if (!file_exists(results)) return run;
  Summarizer summarizer;
  LongestCurves curves;
  const RowIndex::Scan scan = for_each_current_row(results, [&](const ResultRow& row, std::string_view) {
    summarizer.add(row);
    curves.add(row);
    add_failure(row, run);
  });
  run.n_unreadable = scan.n_unreadable;
  run.totals = summarizer.totals();
  run.cells = summarizer.cells();
  run.curves = curves.take();
  return run;
}

}  // namespace tenure
