#include "plan/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "plan/metrics.h"

namespace tenure {
namespace {

// Metrics of what was generated.
const std::vector<std::string>& text_metric_names() {
  static const std::vector<std::string> names = {"exact_match", "agree_tokens", "token_f1", "rouge_l", "kl", "top1"};
  return names;
}

bool is_one_of(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// What a compare stage knows: `exact_match` is about the two texts, not the rows' own figure.
const std::vector<std::string>& compare_metric_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all = text_metric_names();
    for (const std::string& metric : metric_names()) {
      if (!is_one_of(all, metric)) all.push_back(metric);
    }
    return all;
  }();
  return names;
}

}  // namespace

ComparePlan read_compare(TableReader& table) {
  ComparePlan compare;
  const TomlMember* member = table.require("metrics", "what to compare, such as [\"agree_tokens\", \"kv.peak_bytes\"]");
  const auto metrics = table.texts("metrics");
  if (!metrics) return compare;
  if (metrics->empty()) table.out_of_range(*member, "an empty list", "at least one metric");
  const auto& names = compare_metric_names();
  for (size_t i = 0; i < metrics->size(); ++i) {
    const std::string& metric = (*metrics)[i];
    const Place& place = member->value.is(TomlValue::Kind::array) ? member->value.items[i].place : member->value.place;
    if (!is_one_of(names, metric)) {
      const std::string hint = metric_hint(metric, names);
      table.findings().add(place, Code::bad_value, fmt::format("{} cannot compare \"{}\"", table.title(), metric),
                           hint.empty() ? fmt::format("(metrics: {})", joined(names)) : hint);
    } else if (is_one_of(compare.metrics, metric)) {
      table.findings().add(place, Code::duplicate_id, fmt::format("{} names \"{}\" twice", table.title(), metric));
    } else {
      compare.metrics.push_back(metric);
    }
  }
  return compare;
}

void check_compare_from(const TomlMember& member, const std::vector<std::string>& from, TableReader& table) {
  if (from.size() == 1) {
    table.out_of_range(member, "one stage", "the reference and at least one stage to compare with it");
  }
  if (std::set(from.begin(), from.end()).size() != from.size()) {
    table.findings().add(member.value.place, Code::duplicate_id, fmt::format("{} takes from one stage twice", table.title()));
  }
}

void check_compared_kinds(const std::vector<StagePlan>& stages, const std::vector<DagNode>& nodes, Findings& findings) {
  for (size_t i = 0; i < stages.size(); ++i) {
    const auto* compare = std::get_if<ComparePlan>(&stages[i].work);
    if (compare == nullptr) continue;
    const auto of_text = std::find_if(compare->metrics.begin(), compare->metrics.end(),
                                      [](const std::string& metric) { return is_one_of(text_metric_names(), metric); });
    if (of_text == compare->metrics.end()) continue;
    for (const DagEdge& edge : nodes[i].edges) {
      const auto side = std::find_if(stages.begin(), stages.end(), [&](const StagePlan& s) { return s.id == edge.from; });
      if (side == stages.end() || side->kind != StageKind::score) continue;
      findings.add(edge.place, Code::port_mismatch,
                   fmt::format("stage \"{}\" compares {}, but stage \"{}\" (score) generates nothing", stages[i].id, *of_text,
                               side->id));
    }
  }
}

bool ComparePlan::needs_logits() const { return is_one_of(metrics, "kl") || is_one_of(metrics, "top1"); }

void check_references(const std::vector<StagePlan>& stages, const std::set<std::string>& touched, Findings& findings) {
  std::map<std::string, std::string> reference_of;
  std::map<std::string, const StagePlan*> by_id;
  for (const StagePlan& stage : stages) by_id.emplace(stage.id, &stage);
  const auto refuse = [&](const StagePlan& stage, const std::string& why) {
    findings.add(Diagnostic{.code = Code::unsupported_combination,
                            .text = fmt::format("stage \"{}\" cannot compare by kl or top1: {}", stage.id, why),
                            .where = stage.where});
  };
  for (const StagePlan& stage : stages) {
    const auto* compare = std::get_if<ComparePlan>(&stage.work);
    if (compare == nullptr || !compare->needs_logits()) continue;
    const std::string& reference = stage.from[0];
    for (size_t i = 1; i < stage.from.size(); ++i) {
      const std::string& user = stage.from[i];
      const auto [at, is_new] = reference_of.emplace(user, reference);
      if (!is_new && at->second != reference) refuse(stage, fmt::format("\"{}\" has another reference, \"{}\"", user, at->second));
      if (by_id.at(user)->from != by_id.at(reference)->from) {
        refuse(stage, fmt::format("\"{}\" and \"{}\" read different requests", reference, user));
      }
      if (touched.contains(reference) && !touched.contains(user)) {
        refuse(stage, fmt::format("\"{}\" runs once for all cells, before \"{}\" does in each", user, reference));
      }
    }
  }
  for (const StagePlan& stage : stages) {
    const auto* compare = std::get_if<ComparePlan>(&stage.work);
    if (compare == nullptr || !compare->needs_logits() || !reference_of.contains(stage.from[0])) continue;
    refuse(stage, fmt::format("its reference \"{}\" has a reference itself", stage.from[0]));
  }
}

std::vector<std::string> compared_names(const StagePlan& stage) {
  const auto& metrics = std::get<ComparePlan>(stage.work).metrics;
  if (stage.from.size() <= 2) return metrics;
  std::vector<std::string> names;
  for (size_t i = 1; i < stage.from.size(); ++i) {
    for (const std::string& metric : metrics) names.push_back(fmt::format("{}.{}", stage.from[i], metric));
  }
  return names;
}

}  // namespace tenure
