#include "record/row.h"

#include <array>

#include "record/json_writer.h"

namespace tenure {
namespace {

constexpr std::array<std::string_view, 4> status_names = {"ok", "error", "limit", "skipped"};
constexpr std::array<std::string_view, 5> finish_names = {"", "stop", "eos", "length", "limit"};
constexpr std::array<std::string_view, 9> code_names = {"bad_request",  "too_long",   "memory",
                                                        "numeric",      "bad_plan",   "plugin_error",
                                                        "plugin_crash", "time_limit", "internal"};

void write_finish(JsonWriter& json, Finish finish) {
  finish == Finish::none ? json.null() : json.string(to_string(finish));
}

void write_tokens(JsonWriter& json, const std::vector<int32_t>& tokens) {
  json.begin_array();
  for (int32_t token : tokens) json.integer(token);
  json.end_array();
}

void write_axes(JsonWriter& json, const ResultRow& row) {
  json.key("axes").begin_object();
  for (const auto& [name, value] : row.axes) {
    json.key(name);
    write_axis_value(json, value);
  }
  json.end_object();
}

void write_error(JsonWriter& json, const std::optional<RowError>& error) {
  json.key("error");
  if (!error) return json.null();
  json.begin_object();
  json.key("code").string(to_string(error->code));
  json.key("message").string(error->message);
  json.key("plugin");
  error->plugin.empty() ? json.null() : json.string(error->plugin);
  json.end_object();
}

void write_segment(JsonWriter& json, const RowSegment& s) {
  json.begin_object();
  json.key("index").integer(s.index);
  json.key("label").string(s.label);
  json.key("text").string(s.text);
  write_tokens(json.key("tokens"), s.tokens);
  write_finish(json.key("finish"), s.finish);
  json.key("exact_match");
  s.exact_match ? json.boolean(*s.exact_match) : json.null();
  json.key("logprob").optional_number(s.logprob);
  json.key("token_accuracy").optional_number(s.token_accuracy);
  json.key("ttft_ms").optional_number(s.ttft_ms);
  json.key("released").integer(s.released);
  json.key("rebuilt").integer(s.rebuilt);
  json.key("kv_bytes").integer(s.kv_bytes);
  json.end_object();
}

void write_output(JsonWriter& json, const ResultRow& row) {
  json.key("text").string(row.text);
  write_tokens(json.key("tokens"), row.tokens);
  write_finish(json.key("finish"), row.finish);
  json.key("answer");
  if (row.answer.empty()) {
    json.null();
  } else {
    json.begin_array();
    for (const std::string& answer : row.answer) json.string(answer);
    json.end_array();
  }
  json.key("exact_match").optional_number(row.exact_match);
  json.key("segments").begin_array();
  for (const RowSegment& segment : row.segments) write_segment(json, segment);
  json.end_array();
}

void write_usage(JsonWriter& json, const std::optional<RowUsage>& usage) {
  json.key("usage");
  if (!usage) return json.null();
  json.begin_object();
  json.key("prompt_tokens").integer(usage->prompt_tokens);
  json.key("generated_tokens").integer(usage->generated_tokens);
  json.end_object();
}

void write_timing(JsonWriter& json, const std::optional<RowTiming>& timing) {
  json.key("timing");
  if (!timing) return json.null();
  json.begin_object();
  json.key("queue_ms").optional_number(timing->queue_ms);
  json.key("ttft_ms").optional_number(timing->ttft_ms);
  json.key("tpot_ms").optional_number(timing->tpot_ms);
  json.key("total_ms").optional_number(timing->total_ms);
  json.key("prefill_tps").optional_number(timing->prefill_tps);
  json.key("decode_tps").optional_number(timing->decode_tps);
  json.key("policy_ms").optional_number(timing->policy_ms);
  json.key("rebuild_ms").optional_number(timing->rebuild_ms);
  json.end_object();
}

void write_kv(JsonWriter& json, const std::optional<RowKv>& kv, const std::vector<KvPoint>& curve) {
  json.key("kv");
  if (!kv) return json.null();
  json.begin_object();
  json.key("budget_slots");
  kv->budget_slots ? json.integer(*kv->budget_slots) : json.null();
  json.key("peak_bytes").integer(kv->peak_bytes);
  json.key("end_bytes").integer(kv->end_bytes);
  json.key("full_bytes").integer(kv->full_bytes);
  json.key("policy_bytes").integer(kv->policy_bytes);
  json.key("rebuild_bytes").integer(kv->rebuild_bytes);
  json.key("bytes_per_token").optional_number(kv->bytes_per_token);
  if (!curve.empty()) {
    json.key("curve").begin_array();
    for (const KvPoint& point : curve) {
      json.begin_array();
      json.integer(point.fed_tokens);
      json.integer(point.bytes);
      json.end_array();
    }
    json.end_array();
  }
  json.end_object();
}

void write_events(JsonWriter& json, const std::optional<RowEvents>& events) {
  json.key("events");
  if (!events) return json.null();
  json.begin_object();
  json.key("released").integer(events->released);
  json.key("rebuilt").integer(events->rebuilt);
  json.key("admitted").integer(events->admitted);
  json.key("rebuild_rows").integer(events->rebuild_rows);
  json.end_object();
}

void write_score(JsonWriter& json, const std::optional<RowScore>& score) {
  json.key("score");
  if (!score) return json.null();
  json.begin_object();
  json.key("logprob").optional_number(score->logprob);
  json.key("ppl").optional_number(score->ppl);
  json.key("token_accuracy").optional_number(score->token_accuracy);
  json.end_object();
}

void write_named(JsonWriter& json, std::string_view name, const NamedValues& values) {
  json.key(name);
  if (values.empty()) return json.null();
  json.begin_object();
  for (const auto& [key, value] : values) json.key(key).number(value);
  json.end_object();
}

void write_alerts(JsonWriter& json, const std::vector<RowAlert>& alerts) {
  json.key("alerts").begin_array();
  for (const RowAlert& alert : alerts) {
    json.begin_object();
    json.key("metric").string(alert.metric);
    json.key("value").number(alert.value);
    json.key("limit").number(alert.limit);
    json.key("step").integer(alert.step);
    json.end_object();
  }
  json.end_array();
}

}  // namespace

std::string_view to_string(RowStatus status) {
  return status_names[static_cast<size_t>(status)];
}
std::string_view to_string(Finish finish) {
  return finish_names[static_cast<size_t>(finish)];
}
std::string_view to_string(RowCode code) {
  return code_names[static_cast<size_t>(code)];
}

void write_axis_value(JsonWriter& json, const AxisValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) json.string(*text);
  if (const auto* integer = std::get_if<int64_t>(&value)) json.integer(*integer);
  if (const auto* number = std::get_if<double>(&value)) json.number(*number);
  if (const auto* boolean = std::get_if<bool>(&value)) json.boolean(*boolean);
}

RowCode row_code(Code code) {
  switch (code) {
    case Code::row_bad_request:
    case Code::bad_request_line:
    case Code::template_failed:
      return RowCode::bad_request;
    case Code::row_too_long:
      return RowCode::too_long;
    case Code::row_memory:
      return RowCode::memory;
    case Code::row_numeric:
      return RowCode::numeric;
    case Code::row_bad_plan:
      return RowCode::bad_plan;
    case Code::row_plugin_error:
    case Code::plugin_failed:
      return RowCode::plugin_error;
    case Code::row_time_limit:
      return RowCode::time_limit;
    default:
      return RowCode::internal;
  }
}

RowStatus status_of(RowCode code) {
  return code == RowCode::memory || code == RowCode::time_limit ? RowStatus::limit : RowStatus::error;
}

std::string to_json_line(const ResultRow& row) {
  JsonWriter json;
  json.begin_object();
  json.key("schema").integer(row.schema);
  json.key("id").string(row.id);
  json.key("cell").string(row.cell);
  write_axes(json, row);
  json.key("stage").string(row.stage);
  json.key("policy").string(row.policy);
  json.key("sample").integer(row.sample);
  json.key("attempt").integer(row.attempt);
  json.key("status").string(to_string(row.status));
  write_error(json, row.error);
  write_output(json, row);
  json.key("seed").unsigned_integer(row.seed);
  json.key("determinism").string(row.determinism);
  if (!row.label.empty()) json.key("label").string(row.label);
  json.key("metadata").raw(row.metadata.empty() ? "null" : row.metadata);
  write_usage(json, row.usage);
  write_timing(json, row.timing);
  write_kv(json, row.kv, row.kv_curve);
  write_events(json, row.events);
  write_score(json, row.score);
  write_named(json, "fidelity", row.fidelity);
  write_alerts(json, row.alerts);
  write_named(json, "compare", row.compare);
  json.end_object();
  return json.take();
}

}  // namespace tenure
