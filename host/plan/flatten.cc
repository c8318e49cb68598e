#include "plan/flatten.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "plan/prompt_template.h"

namespace tenure {
namespace {

using Entries = std::vector<std::pair<std::string, std::string>>;

std::string flag(bool value) {
  return value ? "true" : "false";
}

template <typename E>
std::string name_list(const std::vector<E>& values) {
  std::string out;
  for (E value : values) out += fmt::format("{}{}", out.empty() ? "" : ", ", name_of(value));
  return "[" + out + "]";
}

// Entries under one prefix.
class Section {
 public:
  Section(Entries& entries, std::string prefix) : entries_(entries), prefix_(std::move(prefix)) {}

  void add(std::string_view key, std::string value) {
    entries_.emplace_back(fmt::format("{}.{}", prefix_, key), std::move(value));
  }
  void add(std::string_view key, uint64_t value) { add(key, fmt::format("{}", value)); }
  void add(std::string_view key, double value) { add(key, number_text(value)); }
  void add(std::string_view key, const std::vector<ParamValue>& params) {
    for (const ParamValue& p : params) add(fmt::format("{}.{}", key, p.name), to_text(p));
  }
  void add(std::string_view key, const std::vector<std::string>& texts) {
    add(key, fmt::format("{}", fmt::format("{}", fmt::join(texts, "\n"))));
  }

 private:
  Entries& entries_;
  std::string prefix_;
};

void add_run(Entries& out, const RunPlan& run) {
  Section s(out, "run");
  s.add("max_errors",
        run.max_error_share ? number_text(*run.max_error_share) : fmt::format("{}", run.max_errors));
  s.add("retries", uint64_t{run.retries});
  s.add("time_limit", duration_text(run.time_limit));
  s.add("sync", run.sync == SyncMode::record ? "record"
                : run.sync == SyncMode::none ? "none"
                                             : duration_text(run.sync_interval));
  s.add("drain", duration_text(run.drain));
}

void add_machine(Entries& out, const CellPlan& cell) {
  Section(out, "model").add("path", cell.model.path);
  Section backend(out, "backend");
  backend.add("plugin", cell.backend.plugin);
  backend.add("threads", uint64_t{cell.backend.threads});
  backend.add("params", cell.backend.params);
  Section engine(out, "engine");
  engine.add("batch_rows", uint64_t{cell.engine.batch_rows});
  engine.add("in_flight", uint64_t{cell.engine.in_flight});
  engine.add("memory", size_text(cell.engine.memory));
  engine.add("max_rebuild_rows", uint64_t{cell.engine.max_rebuild_rows});
  engine.add("determinism", std::string(name_of(cell.engine.determinism)));
}

void add_policy(Section& s, const PolicyPlan& p) {
  s.add("policy", p.name);
  if (p.inner) {
    s.add("policy.inner", p.inner->plugin);
    s.add("policy.inner.params", p.inner->params);
  }
  s.add("policy.plugin", p.plugin);
  s.add("policy.chunk", uint64_t{p.chunk});
  s.add("policy.budget", to_text(p.budget));
  s.add("policy.budget_scope", std::string(name_of(p.budget_scope)));
  s.add("policy.budget_floor", p.budget_floor);
  s.add("policy.budget_of", std::string(name_of(p.budget_of)));
  s.add("policy.k_type", std::string(name_of(p.k_type)));
  s.add("policy.v_type", std::string(name_of(p.v_type)));
  s.add("policy.positions", std::string(name_of(p.positions)));
  s.add("policy.when", name_list(p.when));
  s.add("policy.period", uint64_t{p.period});
  s.add("policy.slack", uint64_t{p.slack});
  s.add("policy.n_sink", to_text(p.n_sink));
  s.add("policy.n_recent", to_text(p.n_recent));
  s.add("policy.n_stabilizers", to_text(p.n_stabilizers));
  s.add("policy.n_local", to_text(p.n_local));
  s.add("policy.query_prefix", uint64_t{p.query_prefix});
  s.add("policy.on_plugin_error", std::string(name_of(p.on_plugin_error)));
  s.add("policy.params", p.params);
}

void add_work(Section& s, const ReadPlan& read) {
  s.add("path", read.paths);
  if (read.limit) s.add("limit", *read.limit);
  if (read.split) s.add("split", size_text(*read.split));
  for (const auto& [field, from] : read.map) s.add("map." + field, from);
  if (!read.prompt_template.empty()) s.add("template", to_text(read.prompt_template));
}

void add_work(Section& s, const GeneratePlan& g) {
  add_policy(s, g.policy);
  s.add("max_new_tokens", uint64_t{g.max_new_tokens});
  s.add("temperature", g.temperature);
  s.add("top_k", uint64_t{g.top_k});
  s.add("top_p", g.top_p);
  s.add("min_p", g.min_p);
  s.add("repeat_penalty", g.repeat_penalty);
  s.add("stop", g.stop);
  s.add("seed", g.seed);
  s.add("samples", uint64_t{g.samples});
  s.add("chat", flag(g.chat));
  s.add("ignore_eos", flag(g.ignore_eos));
  s.add("parse_special", flag(g.parse_special));
  s.add("overflow", std::string(name_of(g.overflow)));
}

void add_work(Section& s, const ScorePlan& score) {
  add_policy(s, score.policy);
  s.add("window", uint64_t{score.window});
}

void add_work(Section& s, const ComparePlan& compare) {
  s.add("metrics", compare.metrics);
}

void add_work(Section& s, const WritePlan& write) {
  s.add("path", write.path);
  s.add("fields", write.fields);
  s.add("format", std::string(name_of(write.format)));
}

void add_stage(Entries& out, const std::string& section, const StagePlan& stage) {
  Section s(out, fmt::format("{}.{}", section, stage.id));
  s.add("kind", std::string(name_of(stage.kind)));
  s.add("from", fmt::format("{}", fmt::join(stage.from, ", ")));
  std::visit([&](const auto& work) { add_work(s, work); }, stage.work);
}

Entries cell_entries(const CellPlan& cell) {
  Entries out;
  add_machine(out, cell);
  for (const StagePlan& stage : cell.stages) add_stage(out, "stage", stage);
  return out;
}

Entries common_entries(const Plan& plan) {
  Entries out;
  add_run(out, plan.run);
  for (const StagePlan& stage : plan.writers) add_stage(out, "writer", stage);
  for (size_t i = 0; i < plan.gates.size(); ++i)
    out.emplace_back(fmt::format("gate.{}", i + 1), plan.gates[i].text);
  for (size_t i = 0; i < plan.alerts.size(); ++i)
    out.emplace_back(fmt::format("alert.{}", i + 1), plan.alerts[i].text);
  std::vector<std::string> names;
  for (const CellPlan& cell : plan.cells) names.push_back(cell.name);
  out.emplace_back("cells", fmt::format("{}", fmt::join(names, "\n")));
  return out;
}

}  // namespace

std::map<std::string, std::string> flatten(const Plan& plan) {
  const Entries common = common_entries(plan);
  std::map<std::string, std::string> out(common.begin(), common.end());
  std::map<std::string, Entries> by_key;  // key → (cell, value)
  for (const CellPlan& cell : plan.cells) {
    for (auto& [key, value] : cell_entries(cell)) by_key[key].emplace_back(cell.name, std::move(value));
  }
  for (auto& [key, values] : by_key) {
    const std::string& first = values[0].second;
    if (std::all_of(values.begin(), values.end(), [&first](const auto& v) { return v.second == first; })) {
      out.emplace(key, std::move(values[0].second));
      continue;
    }
    for (auto& [cell, value] : values) out.emplace(fmt::format("{} @ {}", key, cell), std::move(value));
  }
  return out;
}

bool may_differ(std::string_view key) {
  constexpr std::array prefixes = {"backend.threads", "engine.in_flight", "run.max_errors", "run.retries",
                                   "run.sync",        "run.drain",        "gate.",          "alert.",
                                   "writer."};
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](std::string_view prefix) { return key.starts_with(prefix); });
}

std::string plan_text(const Plan& plan) {
  const auto line = [](const auto& entry) {
    std::string value = entry.second;
    for (size_t at = 0; (at = value.find('\n', at)) != std::string::npos; at += 2)
      value.replace(at, 1, "\\n");
    return fmt::format("  {} = {}\n", entry.first, value);
  };
  std::string out =
      fmt::format("plan {}: {} cell{}\n", plan.name, plan.cells.size(), plan.cells.size() == 1 ? "" : "s");
  for (const auto& entry : common_entries(plan)) {
    if (entry.first != "cells") out += line(entry);
  }
  std::map<std::string, std::string> shown;  // what earlier cells said; later ones print only what is new
  for (const CellPlan& cell : plan.cells) {
    out += fmt::format("\ncell {}\n", cell.name.empty() ? "(shared by all)" : cell.name);
    for (const auto& entry : cell_entries(cell)) {
      auto [known, is_new] = shown.try_emplace(entry.first, entry.second);
      if (!is_new && known->second == entry.second) continue;
      known->second = entry.second;
      out += line(entry);
    }
  }
  return out;
}

}  // namespace tenure
