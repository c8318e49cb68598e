#include "cli/cell_memory.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/footprint.h"
#include "engine/kv_memory.h"
#include "graph/policy_weights.h"
#include "graph/runtime.h"
#include "manifest/manifest.h"
#include "weights/model_source.h"

namespace tenure::cli {
namespace {

struct StageWork {
  const PolicyPlan* policy = nullptr;
  uint64_t n_fed = 0;
  uint32_t n_generated = 0;
};

// The longest session of the stage that keeps within the model's context; nothing for a stage without a
// policy.
StageWork work_of(const StagePlan& stage, uint32_t n_ctx) {
  if (const auto* score = std::get_if<ScorePlan>(&stage.work)) {
    return {.policy = &score->policy, .n_fed = std::min(score->window, n_ctx)};
  }
  const auto* generate = std::get_if<GeneratePlan>(&stage.work);
  if (generate == nullptr) return {};
  const uint32_t n_generated = std::min(generate->max_new_tokens, n_ctx - 1);
  return {.policy = &generate->policy, .n_fed = n_ctx - n_generated, .n_generated = n_generated};
}

// Bytes that one row of evidence takes in all layers, and what there is one of.
std::string evidence_cost(Evidence evidence, const ModelConfig& model) {
  uint64_t q = 0, kv = 0, heads_with_mass = 0;
  for (const LayerConfig& layer : model.layers) {
    q += uint64_t{4} * model.n_heads * layer.head_dim;
    kv += uint64_t{4} * layer.n_kv_heads * layer.head_dim;
    if (layer.window == 0) heads_with_mass += layer.n_kv_heads;
  }
  switch (evidence) {
    case Evidence::q_pre:
    case Evidence::q_post:
      return fmt::format("{} bytes a fed token", q);
    case Evidence::k_pre:
    case Evidence::v:
    case Evidence::k_post:
      return fmt::format("{} bytes a fed token", kv);
    case Evidence::hidden:
      return fmt::format("{} bytes a fed token", uint64_t{4} * model.n_embd * model.n_layers);
    case Evidence::attention_mass:
      return fmt::format("{} bytes a cached token, added to in every forward", 4 * heads_with_mass);
    case Evidence::cached_k:
    case Evidence::cached_v:
      return "what the cache holds, read at each decision";
    case Evidence::token_ids:
      break;
  }
  return "4 bytes a fed token";
}

uint64_t n_tables(Granularity granularity, const ModelConfig& model) {
  if (granularity == Granularity::token) return 1;
  uint64_t n = 0;
  for (const LayerConfig& layer : model.layers) {
    if (layer.window == 0) n += granularity == Granularity::layer ? 1 : layer.n_kv_heads;
  }
  return n;
}

std::vector<std::string> costs_of(const PluginNeeds& needs, const ModelConfig& model) {
  std::vector<std::string> costs;
  for (const Evidence evidence : needs.evidence) {
    costs.push_back(fmt::format("evidence {}: {}", name_of(evidence), evidence_cost(evidence, model)));
  }
  if (needs.state_bytes_per_sequence > 0)
    costs.push_back(fmt::format("state: {} bytes a session", needs.state_bytes_per_sequence));
  if (needs.state_floats_per_slot > 0) {
    costs.push_back(fmt::format("state: {} bytes a cached token",
                                4 * needs.state_floats_per_slot * n_tables(needs.granularity, model)));
  }
  if (needs.state_floats_per_token > 0)
    costs.push_back(fmt::format("state: {} bytes a fed token", 4 * needs.state_floats_per_token));
  return costs;
}

}  // namespace

const Library& MemoryPlanner::library(const std::string& plugin, PluginKind kind) {
  PluginFile file = resolve_plugin(search_, plugin, kind);
  std::unique_ptr<Library>& loaded = libraries_[file.library.string()];
  if (!loaded) loaded = std::make_unique<Library>(std::move(file), HostLoan{});
  return *loaded;
}

const ModelInfo& MemoryPlanner::model(const std::string& path) {
  std::unique_ptr<ModelInfo>& info = models_[path];
  if (!info) info = std::make_unique<ModelInfo>(ModelSource::open(path)->config());
  return *info;
}

std::vector<StageMemory> MemoryPlanner::cell(const CellPlan& cell) {
  const ModelInfo& info = model(cell.model.path);
  const ModelConfig& config = info.config();
  Backend backend(library(cell.backend.plugin, PluginKind::backend), cell.backend.params);
  KvMemory memory(backend, config, cell.engine.memory, batch_rows(cell.engine.batch_rows, backend.properties()));
  std::vector<StageMemory> stages;
  for (const StagePlan& stage : cell.stages) {
    const StageWork work = work_of(stage, config.n_ctx);
    if (work.policy == nullptr) continue;
    const Library& of_policy = library(work.policy->plugin, PluginKind::policy);
    const auto weights = PolicyWeights::open(of_policy.file(), work.policy->params, config);
    const Policy policy(of_policy, info.abi(), work.policy->params,
                        {.backend = &backend, .weights = weights ? &weights->tensors() : nullptr});
    const PolicySettings settings = policy_settings(*work.policy, policy);
    SessionScript script;
    script.policy = &settings;
    script.segments.push_back({.ids = std::vector<int32_t>(work.n_fed), .generate = work.n_generated});
    const KvConfig kv = memory.kv_config(settings.k_type, settings.v_type);
    const SessionBudget budget = session_budget(settings, script.n_fed(), script.n_total(), slot_bytes(kv),
                                                config.n_ctx, cell.engine.max_rebuild_rows);
    const Footprint reserved = footprint(script, budget, kv, cell.engine.max_rebuild_rows);
    const uint64_t steady = std::max<uint64_t>(reserved.steady, 1);
    const uint64_t spare = cell.engine.memory > reserved.prefill ? cell.engine.memory - reserved.prefill : 0;
    const uint64_t fits = spare / steady;
    stages.push_back(
        {.stage = stage.id,
         .policy = work.policy->name,
         .token_bytes = slot_bytes(kv),
         .budget_slots = budget.bounded ? budget.slots : 0,
         .session_tokens = script.n_total(),
         .reserved_bytes = reserved.at_start(),
         .full_bytes = dense_bytes(kv, script.n_total(), script.n_total()),
         .n_sessions = cell.engine.in_flight > 0 ? std::min<uint64_t>(fits, cell.engine.in_flight) : fits,
         .costs = costs_of(work.policy->needs, config)});
  }
  return stages;
}

}  // namespace tenure::cli
