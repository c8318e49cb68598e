#include "plan/gates.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "manifest/table_reader.h"
#include "plan/address.h"
#include "plan/metrics.h"
#include "plan/resolver.h"

namespace tenure {
namespace {

using Kind = TomlValue::Kind;

class GateReader {
 public:
  GateReader(const TomlValue& item, size_t number, const GateScope& scope, Findings& findings)
      : table_(item, fmt::format("[[gate]] {}", number), findings, NoteKeys::allowed),
        scope_(scope),
        findings_(findings) {
    gate_.where = position_of(item.place);
  }

  GatePlan read() {
    table_.require("stage", "the id of a generate, score or compare stage");
    gate_.stage = read_stage("stage");
    table_.require("metric", "a number of the row, such as exact_match or kv.peak_bytes");
    read_metric();
    if (const auto v = table_.choice<Aggregate>("agg")) gate_.aggregate = *v;
    gate_.versus = read_stage("versus");
    if (!gate_.versus.empty() && (is_compare(gate_.stage) || is_compare(gate_.versus))) {
      findings_.add(table_.take("versus")->value.place, Code::bad_gate,
                    fmt::format("{}: a compare stage's figures are relative already", table_.title()), "leave `versus` out");
    } else if (!gate_.versus.empty() && gate_.versus == gate_.stage) {
      findings_.add(table_.take("versus")->value.place, Code::bad_gate,
                    fmt::format("{} compares stage \"{}\" with itself", table_.title(), gate_.stage));
    }
    gate_.min = read_limit("min");
    gate_.max = read_limit("max");
    check_limits();
    if (const auto v = table_.choice<GatePer>("per")) gate_.per = *v;
    read_confidence();
    read_where();
    table_.finish();
    gate_.text = describe();
    return gate_;
  }

 private:
  bool is_compare(const std::string& stage) const { return scope_.compared.contains(stage); }

  std::string read_stage(std::string_view key) {
    const auto name = table_.text(key);
    if (!name) return {};
    const Place place = table_.take(key)->value.place;
    const auto found = scope_.stages.find(*name);
    if (found == scope_.stages.end()) {
      std::vector<std::string> ids;
      for (const auto& [id, kind] : scope_.stages) {
        if (gives_rows(kind)) ids.push_back(id);
      }
      findings_.add(place, Code::unknown_reference,
                    fmt::format("{} names stage \"{}\", which does not exist", table_.title(), *name),
                    did_you_mean(*name, ids));
      return {};
    }
    if (!gives_rows(found->second)) {
      findings_.add(place, Code::bad_gate,
                    fmt::format("{} judges stage \"{}\" ({}), which has no rows of its own", table_.title(),
                                *name, name_of(found->second)),
                    "name a generate, score or compare stage");
    }
    return *name;
  }

  void read_metric() {
    const auto metric = table_.text("metric");
    if (!metric) return;
    if (is_compare(gate_.stage)) return read_compared(*metric);
    const auto& names = metric_names();
    if (std::find(names.begin(), names.end(), *metric) == names.end()) {
      const std::string hint = metric_hint(*metric, names);
      findings_.add(table_.take("metric")->value.place, Code::bad_gate,
                    fmt::format("\"{}\" is no metric of a row", *metric),
                    hint.empty() ? fmt::format("(metrics: {})", joined(names)) : hint);
      return;
    }
    gate_.metric = *metric;
  }

  // "agree_tokens" or "compare.agree_tokens": one of the stage's own metrics.
  void read_compared(const std::string& metric) {
    constexpr std::string_view prefix = "compare.";
    const std::string name = metric.starts_with(prefix) ? metric.substr(prefix.size()) : metric;
    const std::vector<std::string>& names = scope_.compared.at(gate_.stage);
    gate_.metric = fmt::format("{}{}", prefix, name);
    if (std::find(names.begin(), names.end(), name) != names.end()) return;
    const std::string hint = did_you_mean(name, names);
    findings_.add(table_.take("metric")->value.place, Code::bad_gate,
                  fmt::format("\"{}\" is no metric of stage \"{}\"", metric, gate_.stage),
                  hint.empty() ? fmt::format("(metrics: {})", joined(names)) : hint);
  }

  // A ratio with `versus`; else a number, or a size or duration where the metric is one.
  std::optional<double> read_limit(std::string_view key) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    const TomlMember* member = table_.take(key);
    if (!member) return std::nullopt;
    if (!member->value.is(Kind::string)) return table_.number(key, -infinity, infinity);
    const MetricUnit unit = unit_of(gate_.metric);
    if (!gate_.versus.empty() || unit == MetricUnit::number) {
      table_.wrong_type(*member, gate_.versus.empty() ? "a number" : "a number, the ratio to `versus`");
      return std::nullopt;
    }
    if (unit == MetricUnit::bytes) {
      const auto bytes = table_.size(key);
      return bytes ? std::optional<double>(static_cast<double>(*bytes)) : std::nullopt;
    }
    const auto time = table_.duration(key);
    if (!time) return std::nullopt;
    return std::chrono::duration<double, std::milli>(*time).count();
  }

  void check_limits() {
    if (!table_.take("min") && !table_.take("max")) {
      findings_.add(table_.table().place, Code::bad_gate, fmt::format("{} has no limit", table_.title()),
                    "give `min`, `max` or both");
    }
    if (gate_.min && gate_.max && *gate_.min > *gate_.max) {
      table_.out_of_range(*table_.take("min"), "above max", "at most `max`");
    }
  }

  void read_confidence() {
    const auto confidence = table_.number("confidence", 0, 1);
    if (!confidence) return;
    if (*confidence > 0 && *confidence < 1) {
      gate_.confidence = *confidence;
    } else {
      table_.out_of_range(*table_.take("confidence"), number_text(*confidence),
                          "a number between 0 and 1, such as 0.95");
    }
  }

  void read_where() {
    const TomlMember* member = table_.take("where");
    if (!member) return;
    if (!member->value.is(Kind::table)) {
      table_.wrong_type(*member, "a table such as {label = \"deep\"}");
      return;
    }
    TableReader where(member->value, "`where` of " + table_.title(), findings_);
    gate_.where_label = where.text("label").value_or("");
    read_axes(where);
    read_prompt_tokens(where);
    where.finish();
  }

  void read_axes(TableReader& where) {
    const TomlMember* axes = where.take("axes");
    if (!axes) return;
    if (!axes->value.is(Kind::table)) {
      where.wrong_type(*axes, "a table such as {\"policy.locret.budget\" = \"1/8\"}");
      return;
    }
    for (const TomlMember& axis : axes->value.members) {
      const auto parts = split_path(axis.key);
      const std::string key = parts ? to_text(Address{*parts}) : axis.key;
      const auto found = scope_.axes.find(key);
      if (found == scope_.axes.end()) {
        std::vector<std::string> keys;
        for (const auto& entry : scope_.axes) keys.push_back(entry.first);
        findings_.add(axis.key_place, Code::unknown_reference,
                      fmt::format("\"{}\" is no axis of the matrix", axis.key), did_you_mean(key, keys));
        continue;
      }
      const std::string value = value_text(axis.value);
      if (!found->second.contains(value)) {
        findings_.add(axis.value.place, Code::bad_gate, fmt::format("axis \"{}\" never is {}", key, value),
                      fmt::format("(values: {})", joined({found->second.begin(), found->second.end()})));
      }
      gate_.where_axes.emplace(key, value);
    }
  }

  void read_prompt_tokens(TableReader& where) {
    const TomlMember* member = where.take("prompt_tokens");
    if (!member) return;
    const auto is_count = [](const TomlValue& v) { return v.is(Kind::integer) && v.integer >= 0; };
    const std::vector<TomlValue>& bounds = member->value.items;
    if (bounds.size() != 2 || !std::all_of(bounds.begin(), bounds.end(), is_count)) {
      where.wrong_type(*member, "two counts, [LOW, HIGH]");
    } else if (bounds[0].integer > bounds[1].integer) {
      where.out_of_range(*member, "the wrong way round", "[LOW, HIGH]");
    } else {
      gate_.where_prompt_tokens = {static_cast<uint64_t>(bounds[0].integer),
                                   static_cast<uint64_t>(bounds[1].integer)};
    }
  }

  std::string limit_text(double limit) const {
    if (!gate_.versus.empty()) return fmt::format("{} × {}", number_text(limit), gate_.versus);
    switch (unit_of(gate_.metric)) {
      case MetricUnit::bytes:
        return limit >= 0 && limit == std::floor(limit) && limit < 9e15
                   ? size_text(static_cast<uint64_t>(limit))
                   : number_text(limit) + " B";
      case MetricUnit::milliseconds:
        return number_text(limit) + " ms";
      case MetricUnit::number:
        break;
    }
    return number_text(limit);
  }

  std::string describe() const {
    std::string text = fmt::format("{}: {} {}", gate_.stage, name_of(gate_.aggregate), gate_.metric);
    if (gate_.min) text += " >= " + limit_text(*gate_.min);
    if (gate_.max) text += fmt::format("{} <= {}", gate_.min ? " and" : "", limit_text(*gate_.max));
    if (gate_.confidence) text += fmt::format(" @{}%", number_text(*gate_.confidence * 100));
    for (const auto& [axis, value] : gate_.where_axes) text += fmt::format(", {}={}", axis, value);
    if (!gate_.where_label.empty()) text += fmt::format(", label {}", gate_.where_label);
    if (const auto& tokens = gate_.where_prompt_tokens)
      text += fmt::format(", {}..{} tokens", tokens->first, tokens->second);
    if (gate_.per == GatePer::all) text += ", all cells together";
    return text;
  }

  GatePlan gate_;
  TableReader table_;
  const GateScope& scope_;
  Findings& findings_;
};

}  // namespace

std::vector<GatePlan> read_gates(const TomlValue& root, const GateScope& scope, Findings& findings) {
  std::vector<GatePlan> gates;
  const TomlMember* section = root.find("gate");
  if (!section) return gates;
  if (!section->value.is(Kind::array)) {
    findings.add(section->value.place, Code::wrong_type, "\"gate\" is no list of gates", "write [[gate]]");
    return gates;
  }
  for (const TomlValue& item : section->value.items) {
    if (item.is(Kind::table)) {
      gates.push_back(GateReader(item, gates.size() + 1, scope, findings).read());
    } else {
      findings.add(item.place, Code::wrong_type, "\"gate\" holds something else than [[gate]] tables");
    }
  }
  return gates;
}

}  // namespace tenure
