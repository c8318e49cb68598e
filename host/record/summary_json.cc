#include "record/json_writer.h"
#include "record/summary.h"

namespace tenure {
namespace {

void write_axes(JsonWriter& json, const Axes& axes) {
  json.begin_object();
  for (const auto& [name, value] : axes) {
    json.key(name);
    write_axis_value(json, value);
  }
  json.end_object();
}

void write_interval(JsonWriter& json, const Interval& interval) {
  json.begin_array();
  json.number(interval.low);
  json.number(interval.high);
  json.end_array();
}

void write_group(JsonWriter& json, const GroupSummary& group) {
  json.key("n").begin_object();
  json.key("ok").unsigned_integer(group.n.ok);
  json.key("error").unsigned_integer(group.n.error);
  json.key("limit").unsigned_integer(group.n.limit);
  json.key("skipped").unsigned_integer(group.n.skipped);
  json.end_object();
  json.key("metrics").begin_object();
  for (const auto& [path, m] : group.metrics) {
    json.key(path).begin_object();
    json.key("mean").number(m.mean);
    write_interval(json.key("ci95"), m.ci95);
    json.key("p50").number(m.p50);
    json.key("p90").number(m.p90);
    json.key("p99").number(m.p99);
    json.key("max").number(m.max);
    json.key("n").unsigned_integer(m.n);
    json.end_object();
  }
  json.end_object();
}

void write_cell(JsonWriter& json, const CellSummary& cell) {
  json.begin_object();
  json.key("cell").string(cell.cell);
  write_axes(json.key("axes"), cell.axes);
  json.key("stage").string(cell.stage);
  json.key("policy").string(cell.policy);
  write_group(json, cell.group);
  json.key("by_context").begin_array();
  for (const ContextSummary& context : cell.by_context) {
    json.begin_object();
    json.key("min").integer(context.min);
    json.key("max").integer(context.max);
    write_group(json, context.group);
    json.end_object();
  }
  json.end_array();
  json.end_object();
}

void write_gate(JsonWriter& json, const GateSpec& spec, const GateResult& result) {
  json.begin_object();
  json.key("stage").string(spec.stage);
  json.key("metric").string(spec.metric);
  json.key("agg").string(to_string(spec.agg));
  json.key("min").optional_number(spec.min);
  json.key("max").optional_number(spec.max);
  json.key("versus");
  spec.versus.empty() ? json.null() : json.string(spec.versus);
  json.key("confidence").optional_number(spec.confidence);
  json.key("cell").string(result.cell);
  json.key("status").string(to_string(result.status));
  json.key("value").optional_number(result.value);
  json.key("bound").optional_number(result.bound);
  json.key("n").unsigned_integer(result.n);
  json.key("text").string(result.text);
  json.end_object();
}

}  // namespace

std::string to_json(const Summary& summary) {
  JsonWriter json;
  json.begin_object();
  json.key("schema").integer(row_schema);
  json.key("verdict").string(summary.verdict.verdict);
  json.key("exit_code").integer(summary.verdict.exit_code);
  json.key("reasons").begin_array();
  for (const std::string& reason : summary.verdict.reasons) json.string(reason);
  json.end_array();
  json.key("rss_peak_bytes").unsigned_integer(summary.rss_peak_bytes);
  json.key("pool_peak_bytes").unsigned_integer(summary.pool_peak_bytes);
  json.key("weights_bytes").unsigned_integer(summary.weights_bytes);
  json.key("cells").begin_array();
  for (const CellSummary& cell : summary.cells) write_cell(json, cell);
  json.end_array();
  json.key("gates").begin_array();
  for (const GateResult& result : summary.gates) write_gate(json, summary.gate_specs[result.gate], result);
  json.end_array();
  json.key("alerts").begin_array();
  for (const auto& [stage, alert] : summary.alerts) {
    json.begin_object();
    json.key("stage").string(stage);
    json.key("metric").string(alert.metric);
    json.key("value").number(alert.value);
    json.key("limit").number(alert.limit);
    json.key("step").integer(alert.step);
    json.end_object();
  }
  json.end_array();
  json.end_object();
  return json.take() + "\n";
}

}  // namespace tenure
