#include "record/progress.h"

#include <fmt/format.h>

#include <cmath>

#include "record/json_writer.h"

namespace tenure {
namespace {

// A label's value: backslash, quote and newline are escaped.
std::string label_text(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

class PrometheusText {
 public:
  explicit PrometheusText(std::string_view pipeline) : pipeline_(label_text(pipeline)) {}

  void family(std::string_view name, std::string_view type, std::string_view help) {
    out_ += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
    name_ = name;
  }
  void sample(double value, std::string_view label = {}, std::string_view label_value = {}) {
    out_ += fmt::format("{}{{pipeline=\"{}\"", name_, pipeline_);
    if (!label.empty()) out_ += fmt::format(",{}=\"{}\"", label, label_text(label_value));
    out_ += std::isfinite(value) ? fmt::format("}} {}\n", value) : "} NaN\n";
  }
  void single(std::string_view name, std::string_view type, std::string_view help, double value) {
    family(name, type, help);
    sample(value);
  }
  std::string take() { return std::move(out_); }

 private:
  std::string pipeline_, name_, out_;
};

void write_alerts(JsonWriter& json, const std::vector<std::pair<std::string, RowAlert>>& alerts) {
  json.key("alerts").begin_array();
  for (const auto& [stage, alert] : alerts) {
    json.begin_object();
    json.key("stage").string(stage);
    json.key("metric").string(alert.metric);
    json.key("value").number(alert.value);
    json.key("limit").number(alert.limit);
    json.key("step").integer(alert.step);
    json.end_object();
  }
  json.end_array();
}

}  // namespace

void Progress::add_alert(const std::string& stage, const RowAlert& alert) {
  constexpr size_t most_kept = 20;
  if (alerts.size() == most_kept) alerts.erase(alerts.begin());
  alerts.emplace_back(stage, alert);
  ++n_alerts;
}

std::string to_json(const Progress& p) {
  JsonWriter json;
  json.begin_object();
  json.key("schema").integer(row_schema);
  json.key("state").string(p.state);
  json.key("pipeline").string(p.pipeline);
  json.key("cell").string(p.cell);
  json.key("elapsed_s").number(p.elapsed_s);
  json.key("rows").begin_object();
  json.key("done").unsigned_integer(p.rows.total());
  json.key("total");
  p.rows_total > 0 ? json.unsigned_integer(p.rows_total) : json.null();
  json.key("ok").unsigned_integer(p.rows.ok);
  json.key("error").unsigned_integer(p.rows.error);
  json.key("limit").unsigned_integer(p.rows.limit);
  json.key("skipped").unsigned_integer(p.rows.skipped);
  json.end_object();
  json.key("sessions").unsigned_integer(p.sessions);
  json.key("tokens_fed").unsigned_integer(p.tokens_fed);
  json.key("tokens_generated").unsigned_integer(p.tokens_generated);
  json.key("prefill_tps").number(p.prefill_tps);
  json.key("decode_tps").number(p.decode_tps);
  json.key("kv_bytes").unsigned_integer(p.kv_bytes);
  json.key("kv_peak_bytes").unsigned_integer(p.kv_peak_bytes);
  json.key("kv_limit_bytes").unsigned_integer(p.kv_limit_bytes);
  json.key("released").unsigned_integer(p.released);
  json.key("rebuilt").unsigned_integer(p.rebuilt);
  json.key("eta_s").optional_number(p.eta_s);
  json.key("n_alerts").unsigned_integer(p.n_alerts);
  write_alerts(json, p.alerts);
  json.end_object();
  return json.take() + "\n";
}

std::string to_prometheus(const Progress& p) {
  PrometheusText text(p.pipeline);
  text.family("tenure_rows", "gauge", "Result rows written, by status.");
  text.sample(static_cast<double>(p.rows.ok), "status", "ok");
  text.sample(static_cast<double>(p.rows.error), "status", "error");
  text.sample(static_cast<double>(p.rows.limit), "status", "limit");
  text.sample(static_cast<double>(p.rows.skipped), "status", "skipped");
  text.single("tenure_rows_expected", "gauge", "Result rows the run will have; 0 when unknown.",
              static_cast<double>(p.rows_total));
  text.single("tenure_sessions", "gauge", "Sessions running now.", static_cast<double>(p.sessions));
  text.single("tenure_tokens_fed_total", "counter", "Prompt tokens fed.", static_cast<double>(p.tokens_fed));
  text.single("tenure_tokens_generated_total", "counter", "Tokens generated.",
              static_cast<double>(p.tokens_generated));
  text.single("tenure_prefill_tokens_per_second", "gauge", "Prefill speed.", p.prefill_tps);
  text.single("tenure_decode_tokens_per_second", "gauge", "Decode speed.", p.decode_tps);
  text.single("tenure_kv_bytes", "gauge", "KV bytes handed out now.", static_cast<double>(p.kv_bytes));
  text.single("tenure_kv_peak_bytes", "gauge", "Most KV bytes handed out so far.",
              static_cast<double>(p.kv_peak_bytes));
  text.single("tenure_kv_limit_bytes", "gauge", "KV bytes allowed.", static_cast<double>(p.kv_limit_bytes));
  text.single("tenure_slots_released_total", "counter", "Cache slots released.",
              static_cast<double>(p.released));
  text.single("tenure_slots_rebuilt_total", "counter", "Cache slots rebuilt.",
              static_cast<double>(p.rebuilt));
  text.single("tenure_alerts", "gauge", "Alerts raised.", static_cast<double>(p.n_alerts));
  text.single("tenure_elapsed_seconds", "gauge", "Seconds since the start.", p.elapsed_s);
  text.single("tenure_eta_seconds", "gauge", "Estimated seconds to the end; NaN when unknown.",
              p.eta_s.value_or(std::nan("")));
  return text.take();
}

void TokenRate::add(double now_s, uint64_t tokens_so_far) {
  if (!seen_.empty() && now_s <= seen_.back().first) return;
  seen_.emplace_back(now_s, tokens_so_far);
  while (seen_.size() > 2 && seen_[1].first <= now_s - window_s) seen_.pop_front();
}

double TokenRate::per_second() const {
  if (seen_.size() < 2) return 0;
  const auto& [first_s, first] = seen_.front();
  const auto& [last_s, last] = seen_.back();
  return last > first ? static_cast<double>(last - first) / (last_s - first_s) : 0;
}

std::optional<double> TokenRate::eta_s(uint64_t tokens_left) const {
  const double rate = per_second();
  if (rate <= 0) return std::nullopt;
  return static_cast<double>(tokens_left) / rate;
}

}  // namespace tenure
