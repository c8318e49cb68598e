#include <algorithm>
#include <array>

#include "record/json_value.h"
#include "record/row.h"

namespace tenure {
namespace {

// Reads one member of an object; what is absent, null or of another type leaves the default.
class Fields {
 public:
  explicit Fields(const JsonValue& object) : object_(object) {}

  const JsonValue* value(std::string_view key) const {
    const JsonValue* v = object_.find(key);
    return v && !v->is_null() ? v : nullptr;
  }
  void read(std::string_view key, std::string& to) const {
    if (const JsonValue* v = value(key); v && v->string()) to = *v->string();
  }
  void read(std::string_view key, int64_t& to) const {
    if (const JsonValue* v = value(key)) to = v->integer().value_or(to);
  }
  void read(std::string_view key, std::optional<int64_t>& to) const {
    if (const JsonValue* v = value(key)) to = v->integer();
  }
  void read(std::string_view key, std::optional<double>& to) const {
    if (const JsonValue* v = value(key)) to = v->number();
  }
  void read(std::string_view key, std::optional<bool>& to) const {
    if (const JsonValue* v = value(key)) to = v->boolean();
  }
  void read(std::string_view key, std::vector<int32_t>& to) const {
    const JsonValue* v = value(key);
    if (!v || !v->array()) return;
    for (const JsonValue& item : *v->array()) {
      if (const auto token = item.integer()) to.push_back(static_cast<int32_t>(*token));
    }
  }
  void read(std::string_view key, NamedValues& to) const {
    const JsonValue* v = value(key);
    if (!v || !v->object()) return;
    for (const JsonMember& member : *v->object()) {
      if (const auto number = member.value.number()) to.emplace_back(member.key, *number);
    }
  }

 private:
  const JsonValue& object_;
};

template <class Enum, size_t n>
std::optional<Enum> enum_named(std::string_view name, const std::array<Enum, n>& all) {
  for (Enum candidate : all) {
    if (to_string(candidate) == name) return candidate;
  }
  return std::nullopt;
}

constexpr std::array all_statuses = {RowStatus::ok, RowStatus::error, RowStatus::limit, RowStatus::skipped};
constexpr std::array all_finishes = {Finish::stop, Finish::eos, Finish::length, Finish::limit};
constexpr std::array all_codes = {RowCode::bad_request,  RowCode::too_long,   RowCode::memory,
                                  RowCode::numeric,      RowCode::bad_plan,   RowCode::plugin_error,
                                  RowCode::plugin_crash, RowCode::time_limit, RowCode::internal};

Finish read_finish(const Fields& fields) {
  std::string name;
  fields.read("finish", name);
  return enum_named(name, all_finishes).value_or(Finish::none);
}

RowSegment read_segment(const JsonValue& value) {
  const Fields fields(value);
  RowSegment s;
  fields.read("index", s.index);
  fields.read("label", s.label);
  fields.read("text", s.text);
  fields.read("tokens", s.tokens);
  s.finish = read_finish(fields);
  fields.read("exact_match", s.exact_match);
  fields.read("logprob", s.logprob);
  fields.read("token_accuracy", s.token_accuracy);
  fields.read("ttft_ms", s.ttft_ms);
  fields.read("released", s.released);
  fields.read("rebuilt", s.rebuilt);
  fields.read("kv_bytes", s.kv_bytes);
  return s;
}

RowError read_error(const JsonValue& value) {
  const Fields fields(value);
  RowError error;
  std::string code;
  fields.read("code", code);
  error.code = enum_named(code, all_codes).value_or(RowCode::internal);
  fields.read("message", error.message);
  fields.read("plugin", error.plugin);
  return error;
}

RowUsage read_usage(const JsonValue& value) {
  RowUsage usage;
  Fields(value).read("prompt_tokens", usage.prompt_tokens);
  Fields(value).read("generated_tokens", usage.generated_tokens);
  return usage;
}

RowTiming read_timing(const JsonValue& value) {
  const Fields fields(value);
  RowTiming t;
  fields.read("queue_ms", t.queue_ms);
  fields.read("ttft_ms", t.ttft_ms);
  fields.read("tpot_ms", t.tpot_ms);
  fields.read("total_ms", t.total_ms);
  fields.read("prefill_tps", t.prefill_tps);
  fields.read("decode_tps", t.decode_tps);
  fields.read("policy_ms", t.policy_ms);
  fields.read("rebuild_ms", t.rebuild_ms);
  return t;
}

RowKv read_kv(const JsonValue& value) {
  const Fields fields(value);
  RowKv kv;
  fields.read("budget_slots", kv.budget_slots);
  fields.read("peak_bytes", kv.peak_bytes);
  fields.read("end_bytes", kv.end_bytes);
  fields.read("full_bytes", kv.full_bytes);
  fields.read("policy_bytes", kv.policy_bytes);
  fields.read("rebuild_bytes", kv.rebuild_bytes);
  fields.read("bytes_per_token", kv.bytes_per_token);
  return kv;
}

std::vector<KvPoint> read_curve(const JsonValue& kv) {
  std::vector<KvPoint> curve;
  const JsonValue* points = Fields(kv).value("curve");
  if (!points || !points->array()) return curve;
  for (const JsonValue& point : *points->array()) {
    if (!point.array() || point.array()->size() != 2) continue;
    curve.push_back({point.array()->at(0).integer().value_or(0), point.array()->at(1).integer().value_or(0)});
  }
  return curve;
}

RowEvents read_events(const JsonValue& value) {
  const Fields fields(value);
  RowEvents events;
  fields.read("released", events.released);
  fields.read("rebuilt", events.rebuilt);
  fields.read("admitted", events.admitted);
  fields.read("rebuild_rows", events.rebuild_rows);
  return events;
}

RowScore read_score(const JsonValue& value) {
  const Fields fields(value);
  RowScore score;
  fields.read("logprob", score.logprob);
  fields.read("ppl", score.ppl);
  fields.read("token_accuracy", score.token_accuracy);
  return score;
}

void read_axes(const Fields& fields, ResultRow& row) {
  const JsonValue* axes = fields.value("axes");
  if (!axes || !axes->object()) return;
  for (const JsonMember& member : *axes->object()) {
    AxisValue value = std::string();
    if (const auto boolean = member.value.boolean()) value = *boolean;
    if (const auto number = member.value.number()) value = *number;
    if (const auto integer = member.value.integer()) value = *integer;
    if (const std::string* text = member.value.string()) value = *text;
    row.axes.emplace_back(member.key, std::move(value));
  }
}

void read_lists(const Fields& fields, ResultRow& row) {
  if (const JsonValue* answers = fields.value("answer"); answers && answers->array()) {
    for (const JsonValue& answer : *answers->array()) {
      if (answer.string()) row.answer.push_back(*answer.string());
    }
  }
  if (const JsonValue* segments = fields.value("segments"); segments && segments->array()) {
    for (const JsonValue& segment : *segments->array()) row.segments.push_back(read_segment(segment));
  }
  if (const JsonValue* alerts = fields.value("alerts"); alerts && alerts->array()) {
    for (const JsonValue& entry : *alerts->array()) {
      RowAlert alert;
      Fields(entry).read("metric", alert.metric);
      alert.value = entry.find("value") ? entry.find("value")->number().value_or(0) : 0;
      alert.limit = entry.find("limit") ? entry.find("limit")->number().value_or(0) : 0;
      Fields(entry).read("step", alert.step);
      row.alerts.push_back(std::move(alert));
    }
  }
}

}  // namespace

std::optional<ResultRow> parse_row(std::string_view line) {
  const auto parsed = parse_json(line);
  const JsonValue* root = std::get_if<JsonValue>(&parsed);
  if (!root || !root->object()) return std::nullopt;
  const Fields fields(*root);
  std::string status;
  fields.read("status", status);
  const auto known_status = enum_named(status, all_statuses);
  const JsonValue* id = fields.value("id");
  const JsonValue* stage = fields.value("stage");
  if (!known_status || !id || !id->string() || !stage || !stage->string()) return std::nullopt;

  ResultRow row;
  int64_t schema = row_schema;
  fields.read("schema", schema);
  row.schema = static_cast<int>(schema);
  row.id = *id->string();
  row.stage = *stage->string();
  row.status = *known_status;
  fields.read("cell", row.cell);
  read_axes(fields, row);
  fields.read("policy", row.policy);
  fields.read("sample", row.sample);
  fields.read("attempt", row.attempt);
  if (const JsonValue* error = fields.value("error")) row.error = read_error(*error);
  fields.read("text", row.text);
  fields.read("tokens", row.tokens);
  row.finish = read_finish(fields);
  read_lists(fields, row);
  fields.read("exact_match", row.exact_match);
  if (const JsonValue* seed = fields.value("seed")) row.seed = seed->unsigned_integer().value_or(0);
  fields.read("determinism", row.determinism);
  fields.read("label", row.label);
  if (const JsonValue* metadata = fields.value("metadata")) append_json(row.metadata, *metadata);
  if (const JsonValue* usage = fields.value("usage")) row.usage = read_usage(*usage);
  if (const JsonValue* timing = fields.value("timing")) row.timing = read_timing(*timing);
  if (const JsonValue* kv = fields.value("kv")) {
    row.kv = read_kv(*kv);
    row.kv_curve = read_curve(*kv);
  }
  if (const JsonValue* events = fields.value("events")) row.events = read_events(*events);
  if (const JsonValue* score = fields.value("score")) row.score = read_score(*score);
  fields.read("fidelity", row.fidelity);
  fields.read("compare", row.compare);
  return row;
}

}  // namespace tenure
