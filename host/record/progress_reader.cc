#include <variant>

#include "record/json_value.h"
#include "record/progress.h"

namespace tenure {
namespace {

void read(const JsonValue& object, std::string_view key, std::string& to) {
  if (const JsonValue* v = object.find(key); v && v->string()) to = *v->string();
}
void read(const JsonValue& object, std::string_view key, uint64_t& to) {
  if (const JsonValue* v = object.find(key)) to = v->unsigned_integer().value_or(to);
}
void read(const JsonValue& object, std::string_view key, double& to) {
  if (const JsonValue* v = object.find(key)) to = v->number().value_or(to);
}

std::pair<std::string, RowAlert> read_alert(const JsonValue& value) {
  std::pair<std::string, RowAlert> alert;
  read(value, "stage", alert.first);
  read(value, "metric", alert.second.metric);
  read(value, "value", alert.second.value);
  read(value, "limit", alert.second.limit);
  if (const JsonValue* step = value.find("step")) alert.second.step = step->integer().value_or(0);
  return alert;
}

}  // namespace

std::optional<Progress> parse_progress(std::string_view json) {
  const auto parsed = parse_json(json);
  const JsonValue* root = std::get_if<JsonValue>(&parsed);
  if (!root || !root->object() || !root->find("state")) return std::nullopt;
  Progress p;
  read(*root, "state", p.state);
  read(*root, "pipeline", p.pipeline);
  read(*root, "cell", p.cell);
  read(*root, "elapsed_s", p.elapsed_s);
  if (const JsonValue* rows = root->find("rows")) {
    read(*rows, "total", p.rows_total);
    read(*rows, "ok", p.rows.ok);
    read(*rows, "error", p.rows.error);
    read(*rows, "limit", p.rows.limit);
    read(*rows, "skipped", p.rows.skipped);
  }
  read(*root, "sessions", p.sessions);
  read(*root, "tokens_fed", p.tokens_fed);
  read(*root, "tokens_generated", p.tokens_generated);
  read(*root, "prefill_tps", p.prefill_tps);
  read(*root, "decode_tps", p.decode_tps);
  read(*root, "kv_bytes", p.kv_bytes);
  read(*root, "kv_peak_bytes", p.kv_peak_bytes);
  read(*root, "kv_limit_bytes", p.kv_limit_bytes);
  read(*root, "released", p.released);
  read(*root, "rebuilt", p.rebuilt);
  read(*root, "n_alerts", p.n_alerts);
  if (const JsonValue* eta = root->find("eta_s")) p.eta_s = eta->number();
  if (const JsonValue* alerts = root->find("alerts"); alerts && alerts->array()) {
    for (const JsonValue& alert : *alerts->array()) p.alerts.push_back(read_alert(alert));
  }
  return p;
}

}  // namespace tenure
