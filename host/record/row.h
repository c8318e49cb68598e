// One line of results.jsonl: what became of one (id, cell, stage, sample). A value; thread-free.
// Numbers are absent (nullopt) rather than zero when they were not measured; NaN and infinity are written as
// null.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "error/codes.h"

namespace tenure {

constexpr int row_schema = 1;

enum class RowStatus : uint8_t { ok, error, limit, skipped };
enum class Finish : uint8_t { none, stop, eos, length, limit };  // none is written as null

// Why a row is not ok. The spelling in the row is the enumerator's name.
enum class RowCode : uint8_t {
  bad_request,
  too_long,
  memory,
  numeric,
  bad_plan,
  plugin_error,
  plugin_crash,
  time_limit,
  internal,
};

std::string_view to_string(RowStatus);
std::string_view to_string(Finish);
std::string_view to_string(RowCode);
// The row's code for a failure that the host met as a Diagnostic; anything that is not a request's is
// `internal`.
RowCode row_code(Code);
// `memory` and `time_limit` are limits of ours, everything else is an error.
RowStatus status_of(RowCode);

struct RowError {
  RowCode code = RowCode::internal;
  std::string message;
  std::string plugin;  // the plugin at fault; empty = none
};

class JsonWriter;

using AxisValue = std::variant<std::string, int64_t, double, bool>;

void write_axis_value(JsonWriter& json, const AxisValue& value);

struct RowSegment {
  int64_t index = 0;
  std::string label;
  std::string text;
  std::vector<int32_t> tokens;
  Finish finish = Finish::none;
  std::optional<bool> exact_match;
  std::optional<double> logprob;
  std::optional<double> token_accuracy;
  std::optional<double> ttft_ms;
  int64_t released = 0;  // slots, summed over layers and KV heads
  int64_t rebuilt = 0;
  int64_t kv_bytes = 0;  // handed out by the pool after this segment
};

struct RowUsage {
  int64_t prompt_tokens = 0;  // every token fed
  int64_t generated_tokens = 0;
};

struct RowTiming {  // milliseconds, tokens a second
  std::optional<double> queue_ms, ttft_ms, tpot_ms, total_ms, prefill_tps, decode_tps, policy_ms, rebuild_ms;
};

struct KvPoint {
  int64_t fed_tokens = 0;
  int64_t bytes = 0;
};

struct RowKv {                          // bytes as the allocators handed them out
  std::optional<int64_t> budget_slots;  // mean a layer and KV head; absent = no budget
  int64_t peak_bytes = 0;
  int64_t end_bytes = 0;
  int64_t full_bytes = 0;  // what the same request takes with nothing released
  int64_t policy_bytes = 0;
  int64_t rebuild_bytes = 0;
  std::optional<double> bytes_per_token;  // end_bytes a fed token
};
constexpr size_t max_kv_curve = 64;

struct RowEvents {
  int64_t released = 0;
  int64_t rebuilt = 0;
  int64_t admitted = 0;
  int64_t rebuild_rows = 0;
};

struct RowScore {
  std::optional<double> logprob, ppl, token_accuracy;
};

struct RowAlert {
  std::string metric;
  double value = 0;
  double limit = 0;
  int64_t step = 0;
};

using NamedValues = std::vector<std::pair<std::string, double>>;

struct ResultRow {
  int schema = row_schema;
  std::string id;
  std::string cell;  // "" = shared by all cells
  std::vector<std::pair<std::string, AxisValue>> axes;
  std::string stage;
  std::string policy;
  int64_t sample = 0;
  int64_t attempt = 1;
  RowStatus status = RowStatus::ok;
  std::optional<RowError> error;
  std::string text;
  std::vector<int32_t> tokens;
  Finish finish = Finish::none;
  std::vector<std::string> answer;
  // 1 or 0; with several answered segments the share that matched; absent without an answer.
  std::optional<double> exact_match;
  std::vector<RowSegment> segments;
  uint64_t seed = 0;
  std::string determinism = "fast";
  std::string label;     // the request's; left out when empty. An addition to schema 1, for gates' `where`.
  std::string metadata;  // JSON text as the request gave it; empty = null
  std::optional<RowUsage> usage;
  std::optional<RowTiming> timing;
  std::optional<RowKv> kv;
  // Cache bytes over the tokens fed, ascending, at most max_kv_curve points; written as kv.curve,
  // [[fed_tokens, bytes], …], and left out when empty or without kv. An addition to schema 1 for the report's
  // chart.
  std::vector<KvPoint> kv_curve;
  std::optional<RowEvents> events;
  std::optional<RowScore> score;
  NamedValues fidelity;
  std::vector<RowAlert> alerts;
  NamedValues compare;
};

// One line of UTF-8 JSON without its newline; keys in the order of the struct; invalid UTF-8 in any string
// becomes U+FFFD. Never throws for any content, save out of memory.
std::string to_json_line(const ResultRow&);

// The row a line holds; nullopt when the line is torn, not JSON or not a row. Unknown keys are ignored, so an
// older reader takes newer rows.
std::optional<ResultRow> parse_row(std::string_view line);

// Calls `visit(path, value)` for every finite number of the row by its dotted path: "exact_match",
// "kv.peak_bytes", "timing.ttft_ms", "compare.kl", …. "segments.X" is the mean of X over the segments that
// have it.
void for_each_metric(const ResultRow&, const std::function<void(std::string_view, double)>& visit);
std::optional<double> metric_of(const ResultRow&, std::string_view path);
// True for shares of right answers (exact_match, token_accuracy, top1, …), where an error row counts as 0.
bool is_accuracy(std::string_view path);

// Without surrounding white space: how texts are compared.
std::string_view stripped(std::string_view text);
// `exact_match` of docs/pipelines.md: the text without surrounding white space begins with one of the answers
// (trimmed too). nullopt without answers.
std::optional<bool> exact_match(std::string_view text, const std::vector<std::string>& answers);

}  // namespace tenure
