#include "cli/eval_pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <string_view>

#include "cli/plan_loading.h"
#include "plan/load.h"

namespace tenure::cli {
namespace {

// One [policy.NAME].
struct Table {
  std::string name;
  std::string policy;
  std::string budget;
  bool releases = false;
};

bool is_bare_key(std::string_view text) {
  const auto bare = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !text.empty() && std::all_of(text.begin(), text.end(), bare);
}

std::vector<Table> tables_of(const EvalPolicies& wanted, const PluginSearch& plugins) {
  std::vector<Table> tables;
  for (size_t i = 0; i < wanted.policies.size(); ++i) {
    const std::string& policy = wanted.policies[i];
    const bool releases = !resolve_plugin(plugins, policy, PluginKind::policy).manifest.needs.phases.empty();
    const std::string name = is_bare_key(policy) ? policy : fmt::format("policy{}", i);
    const std::vector<std::string> budgets =
        releases && !wanted.budgets.empty() ? wanted.budgets : std::vector<std::string>{""};
    for (size_t b = 0; b < budgets.size(); ++b) {
      // Numbered, so that none is the default policy's name: the first line is not to be changed.
      tables.push_back({.name = fmt::format("{}-{}", name, b + 1),
                        .policy = policy,
                        .budget = budgets[b],
                        .releases = releases});
    }
  }
  return tables;
}

// What a policy that releases nothing has keys for.
bool is_about_types(std::string_view key) {
  return key == "kv_type" || key == "k_type" || key == "v_type";
}

// "policy.KEY=VALUE" or "policy.ID.KEY=VALUE" for one table; empty = not about it.
std::string set_for(const Table& table, std::string_view set) {
  constexpr std::string_view section = "policy.";
  if (!set.starts_with(section)) return {};
  const std::string_view tail = set.substr(section.size());
  const std::string_view path = tail.substr(0, tail.find('='));
  const size_t dot = path.find('.');
  if (dot != std::string_view::npos) {
    return path.substr(0, dot) == table.policy ? fmt::format("policy.{}{}", table.name, tail.substr(dot))
                                               : "";
  }
  return table.releases || is_about_types(path) ? fmt::format("policy.{}.{}", table.name, tail) : "";
}

// Keys that no table takes go on as they are, and are refused where pipelines are read.
std::vector<std::string> expanded(const std::vector<std::string>& sets, const std::vector<Table>& tables) {
  std::vector<std::string> all;
  for (const std::string& set : sets) {
    const size_t n_before = all.size();
    for (const Table& table : tables) {
      if (std::string one = set_for(table, set); !one.empty()) all.push_back(std::move(one));
    }
    if (all.size() == n_before) all.push_back(set);
  }
  return all;
}

std::string table_text(const Table& table, uint32_t chunk) {
  std::string text = fmt::format("[policy.{}]\nplugin = {}\n", table.name, toml_string(table.policy));
  if (!table.budget.empty()) {
    const bool is_count = table.budget.find_first_not_of("0123456789") == std::string::npos;
    text += fmt::format("budget = {}\n", is_count ? table.budget : toml_string(table.budget));
  }
  if (table.releases && chunk > 0) text += fmt::format("chunk = {}\n", chunk);
  return text;
}

std::string pipeline_of(const EvalPolicies& wanted, const std::vector<Table>& tables) {
  std::string text =
      fmt::format("tenure = 1\n[model]\npath = {}\n[backend]\nthreads = {}\n",
                  toml_string(std::filesystem::absolute(wanted.model).string()), wanted.threads);
  if (!wanted.backend.empty()) text += fmt::format("plugin = {}\n", toml_string(wanted.backend));
  for (const Table& table : tables) text += table_text(table, wanted.chunk);
  text += "[[stage]]\nid = \"documents\"\nkind = \"read_jsonl\"\npath = \"-\"\n";
  // Without a policy: the default one, which keeps everything.
  text += "[[stage]]\nid = \"full-cache\"\nkind = \"score\"\nfrom = \"documents\"\n";
  for (const Table& table : tables) {
    text += fmt::format(
        "[[stage]]\nid = \"line-{0}\"\nkind = \"score\"\nfrom = \"documents\"\npolicy = \"{0}\"\n",
        table.name);
  }
  return text;
}

}  // namespace

EvalPlan plan_evaluation(const EvalPolicies& wanted, const PluginSearch& plugins) {
  std::vector<Table> tables = tables_of(wanted, plugins);
  std::erase_if(tables, [&](const Table& table) {
    return !table.releases && std::none_of(wanted.set.begin(), wanted.set.end(), [&](const std::string& set) {
      return !set_for(table, set).empty();
    });
  });
  EvalPlan evaluation{.plan = plan_of({.text = pipeline_of(wanted, tables),
                                       .name = "eval",
                                       .folder = std::filesystem::current_path().string(),
                                       .set = expanded(wanted.set, tables)},
                                      plugins)};
  for (const StagePlan& stage : evaluation.plan.cells.front().stages) {
    const auto* score = std::get_if<ScorePlan>(&stage.work);
    if (score == nullptr) continue;
    const size_t i = evaluation.lines.size();
    evaluation.lines.push_back(
        {.policy = i == 0 ? score->policy.plugin : tables[i - 1].policy, .plan = score->policy});
  }
  return evaluation;
}

}  // namespace tenure::cli
