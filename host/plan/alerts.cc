#include "plan/alerts.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "manifest/quantities.h"
#include "manifest/table_reader.h"
#include "plan/resolver.h"

namespace tenure {
namespace {

using Kind = TomlValue::Kind;

// Counters that every policy has.
const std::vector<std::string>& alert_metrics() {
  static const std::vector<std::string> names = {"released", "rebuilt", "rebuild_rate", "kv_bytes"};
  return names;
}

void read_stage(TableReader& table, const GateScope& scope, AlertPlan& alert) {
  const TomlMember* member = table.require("stage", "the id of a generate or score stage");
  const auto name = table.text("stage");
  if (!name) return;
  alert.stage = *name;
  const auto found = scope.stages.find(*name);
  std::vector<std::string> ids;
  for (const auto& [id, kind] : scope.stages) {
    if (takes_requests(kind)) ids.push_back(id);
  }
  if (found == scope.stages.end()) {
    table.findings().add(member->value.place, Code::unknown_reference,
                         fmt::format("{} names stage \"{}\", which does not exist", table.title(), *name), did_you_mean(*name, ids));
  } else if (!takes_requests(found->second)) {
    table.findings().add(member->value.place, Code::bad_alert,
                         fmt::format("{} watches stage \"{}\" ({}), which runs no request", table.title(), *name, name_of(found->second)),
                         "name a generate or score stage");
  }
}

void read_metric(TableReader& table, AlertPlan& alert) {
  const TomlMember* member = table.require("metric", joined(alert_metrics()));
  const auto metric = table.text("metric");
  if (!metric) return;
  alert.metric = *metric;
  const auto& names = alert_metrics();
  if (std::find(names.begin(), names.end(), *metric) != names.end()) return;
  const std::string hint = did_you_mean(*metric, names);
  table.findings().add(member->value.place, Code::bad_alert, fmt::format("\"{}\" is no metric of an alert", *metric),
                       hint.empty() ? fmt::format("(metrics: {})", joined(names)) : hint);
}

// Bytes may be written as a size, where the limit is no ratio.
std::optional<double> read_limit(TableReader& table, std::string_view key, const AlertPlan& alert) {
  const TomlMember* member = table.take(key);
  if (member && member->value.is(Kind::string) && alert.metric == "kv_bytes" && !alert.versus_median) {
    const auto bytes = table.size(key);
    return bytes ? std::optional<double>(static_cast<double>(*bytes)) : std::nullopt;
  }
  return table.number(key, 0, std::numeric_limits<double>::infinity());
}

void read_limits(TableReader& table, AlertPlan& alert) {
  if (const auto versus = table.text("versus")) {
    alert.versus_median = *versus == "median";
    if (!alert.versus_median) table.bad_value(*table.take("versus"), "\"median\", of the stage's requests that are done");
  }
  alert.min = read_limit(table, "min", alert);
  alert.max = read_limit(table, "max", alert);
  if (!table.take("min") && !table.take("max")) {
    table.findings().add(table.table().place, Code::bad_alert, fmt::format("{} has no limit", table.title()),
                         "give `min`, `max` or both");
  }
  if (alert.min && alert.max && *alert.min > *alert.max) table.out_of_range(*table.take("min"), "above max", "at most `max`");
}

std::string describe(const AlertPlan& alert) {
  std::string text = fmt::format("{}: {} {} over {} steps", alert.stage, name_of(alert.aggregate), alert.metric, alert.window);
  if (alert.versus_median) text += " ÷ median";
  if (alert.min) text += fmt::format(" < {}", number_text(*alert.min));
  if (alert.max) text += fmt::format("{} > {}", alert.min ? " or" : "", number_text(*alert.max));
  return text;
}

AlertPlan read_alert(const TomlValue& item, size_t number, const GateScope& scope, Findings& findings) {
  constexpr uint32_t longest_window = 10'000;
  TableReader table(item, fmt::format("[[alert]] {}", number), findings, NoteKeys::allowed);
  AlertPlan alert;
  alert.where = position_of(item.place);
  read_stage(table, scope, alert);
  read_metric(table, alert);
  if (const auto v = table.choice<Aggregate>("agg")) alert.aggregate = *v;
  if (const auto v = table.count("window", 1, longest_window)) alert.window = *v;
  read_limits(table, alert);
  table.finish();
  alert.text = describe(alert);
  return alert;
}

}  // namespace

std::vector<AlertPlan> read_alerts(const TomlValue& root, const GateScope& scope, Findings& findings) {
  std::vector<AlertPlan> alerts;
  const TomlMember* section = root.find("alert");
  if (!section) return alerts;
  if (!section->value.is(Kind::array)) {
    findings.add(section->value.place, Code::wrong_type, "\"alert\" is no list of alerts", "write [[alert]]");
    return alerts;
  }
  for (const TomlValue& item : section->value.items) {
    if (item.is(Kind::table)) {
      alerts.push_back(read_alert(item, alerts.size() + 1, scope, findings));
    } else {
      findings.add(item.place, Code::wrong_type, "\"alert\" holds something else than [[alert]] tables");
    }
  }
  return alerts;
}

}  // namespace tenure
