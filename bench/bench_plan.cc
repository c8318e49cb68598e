#include "bench_plan.h"

#include <fmt/format.h>

#include <filesystem>
#include <variant>

#include "plan/load.h"

namespace tenure {
namespace {

std::string policy_table(const BenchSettings& settings) {
  std::string text = fmt::format("plugin = \"{}\"\nkv_type = \"{}\"\n", settings.policy, settings.kv_type);
  if (!settings.budget.empty()) {
    const bool is_count = settings.budget.find_first_not_of("0123456789") == std::string::npos;
    text += is_count ? fmt::format("budget = {}\n", settings.budget)
                     : fmt::format("budget = \"{}\"\n", settings.budget);
  }
  if (settings.chunk > 0) text += fmt::format("chunk = {}\n", settings.chunk);
  return text;
}

}  // namespace

Plan bench_plan(const BenchSettings& settings, const PluginSearch& plugins) {
  PlanOptions options;
  options.manifests = [&](std::string_view id, PluginKind kind) { return &plugins.find(id, kind).manifest; };
  std::string text = fmt::format(
      "tenure = 1\n[model]\npath = \"{}\"\n[backend]\nplugin = \"{}\"\nthreads = {}\n"
      "[engine]\nmemory = \"8 GiB\"\nbatch_rows = {}\n[policy.bench]\n{}"
      "[[stage]]\nid = \"read\"\nkind = \"read_jsonl\"\npath = \"-\"\n"
      "[[stage]]\nid = \"generate\"\nkind = \"generate\"\nfrom = \"read\"\npolicy = \"bench\"\n",
      settings.model, settings.backend, settings.threads, settings.batch_rows, policy_table(settings));
  return parse_plan(std::move(text), "bench", std::filesystem::current_path(), options);
}

const PolicyPlan& bench_policy(const Plan& plan) {
  for (const StagePlan& stage : plan.cells.front().stages) {
    if (const auto* generate = std::get_if<GeneratePlan>(&stage.work)) return generate->policy;
  }
  throw Error(Code::internal, "the bench plan has no generate stage");
}

}  // namespace tenure
