#include "bench/bench_plan.h"

#include <fmt/format.h>

#include <filesystem>
#include <map>
#include <variant>

#include "plan/load.h"

namespace tenure {
namespace {

// Manifests by id or path, alive while a plan is read.
class Manifests {
 public:
  explicit Manifests(const PluginSearch& search) : search_(search) {}

  const PluginManifest& find(std::string_view plugin, PluginKind kind) {
    const auto [found, is_new] = files_.try_emplace({std::string(plugin), kind});
    if (is_new) found->second = resolve_plugin(search_, plugin, kind);
    return found->second.manifest;
  }

 private:
  const PluginSearch& search_;
  std::map<std::pair<std::string, PluginKind>, PluginFile> files_;
};

std::string policy_table(const BenchSettings& settings, size_t i, Manifests& manifests) {
  const std::string& policy = settings.policies[i];
  std::string text = fmt::format("[policy.p{}]\nplugin = {}\nkv_type = {}\n", i, toml_string(policy),
                                 toml_string(settings.kv_type));
  const bool releases = !manifests.find(policy, PluginKind::policy).needs.phases.empty();
  if (releases && !settings.budget.empty()) {
    const bool is_count = settings.budget.find_first_not_of("0123456789") == std::string::npos;
    text += fmt::format("budget = {}\n", is_count ? settings.budget : toml_string(settings.budget));
  }
  if (releases && settings.period > 0) text += fmt::format("period = {}\n", settings.period);
  if (settings.chunk > 0) text += fmt::format("chunk = {}\n", settings.chunk);
  return text;
}

std::string pipeline_of(const BenchSettings& settings, Manifests& manifests) {
  std::string text = fmt::format("tenure = 1\n[model]\npath = {}\n[backend]\nthreads = {}\n",
                                 toml_string(settings.model), settings.threads);
  if (!settings.backend.empty()) text += fmt::format("plugin = {}\n", toml_string(settings.backend));
  text += fmt::format("[engine]\nmemory = {}\n", toml_string(settings.memory));
  for (size_t i = 0; i < settings.policies.size(); ++i) text += policy_table(settings, i, manifests);
  text += "[[stage]]\nid = \"prompts\"\nkind = \"read_jsonl\"\npath = \"-\"\n";
  for (size_t i = 0; i < settings.policies.size(); ++i) {
    text += fmt::format(
        "[[stage]]\nid = \"s{0}\"\nkind = \"generate\"\nfrom = \"prompts\"\npolicy = \"p{0}\"\n", i);
  }
  if (settings.policies.empty()) text += "[[stage]]\nid = \"s\"\nkind = \"generate\"\nfrom = \"prompts\"\n";
  return text;
}

Plan read(const BenchSettings& settings, Manifests& manifests) {
  PlanOptions options;
  options.manifests = [&](std::string_view plugin, PluginKind kind) { return &manifests.find(plugin, kind); };
  return parse_plan(pipeline_of(settings, manifests), "bench", std::filesystem::current_path(), options);
}

}  // namespace

Plan bench_plan(const BenchSettings& settings, const PluginSearch& plugins) {
  Manifests manifests(plugins);
  if (!settings.policies.empty()) return read(settings, manifests);
  // Only the plan knows which policy is the default; naming it gives it a table, where the KV type goes.
  BenchSettings named = settings;
  const Plan plan = read(settings, manifests);
  named.policies = {bench_policies(plan).front()->plugin};
  return read(named, manifests);
}

std::vector<const PolicyPlan*> bench_policies(const Plan& plan) {
  std::vector<const PolicyPlan*> policies;
  for (const StagePlan& stage : plan.cells.front().stages) {
    if (const auto* generate = std::get_if<GeneratePlan>(&stage.work)) policies.push_back(&generate->policy);
  }
  return policies;
}

}  // namespace tenure
