#include "graph/runtime.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/threads.h"
#include "error/error.h"
#include "graph/policy_weights.h"
#include "plugin/trainable.h"

namespace tenure {
namespace {

uint32_t phase_bits(const std::vector<Phase>& when) {
  uint32_t bits = 0;
  for (Phase phase : when) {
    if (phase == Phase::chunk) bits |= TENURE_PHASE_CHUNK;
    if (phase == Phase::prefill_end) bits |= TENURE_PHASE_PREFILL_END;
    if (phase == Phase::decode) bits |= TENURE_PHASE_DECODE;
  }
  return bits;
}

uint32_t granularity_of(Granularity granularity) {
  switch (granularity) {
    case Granularity::token:
      return TENURE_GRANULARITY_TOKEN;
    case Granularity::layer:
      return TENURE_GRANULARITY_LAYER;
    case Granularity::kv_head:
      break;
  }
  return TENURE_GRANULARITY_KV_HEAD;
}

template <typename Params>
std::string text_of(const Params& params) {
  std::string text;
  for (const ParamValue& param : params) text += fmt::format(" {}={}", param.name, to_text(param));
  return text;
}

// The backend's own words, and who asked.
void check_pages(const Backend& backend, const PolicyPlan& plan, const ModelConfig& config) {
  for (const LayerConfig& layer : config.layers) {
    try {
      backend.page_layout(layer.head_dim, plan.k_type, plan.v_type);
    } catch (const Error& error) {
      throw Error({.code = error.code(),
                   .text = fmt::format("policy \"{}\" keeps keys as {} and values as {}, head_dim {}: {}", plan.name,
                                       name_of(plan.k_type), name_of(plan.v_type), layer.head_dim,
                                       error.diagnostics().front().text),
                   .where = plan.where});
    }
  }
}

}  // namespace

PolicySettings policy_settings(const PolicyPlan& plan, const Policy& policy, const Policy* inner) {
  return {.name = plan.name,
          .policy = &policy,
          .inner = inner,
          .granularity = granularity_of(plan.needs.granularity),
          .chunk = plan.chunk,
          .budget = plan.budget,
          .scope = plan.budget_scope,
          .floor = plan.budget_floor,
          .budget_of = plan.budget_of,
          .k_type = plan.k_type,
          .v_type = plan.v_type,
          .positions = plan.positions,
          .when = phase_bits(plan.when),
          .period = plan.period,
          .slack = plan.slack,
          .n_sink = plan.n_sink,
          .n_recent = plan.n_recent,
          .n_stabilizers = plan.n_stabilizers,
          .n_local = plan.n_local,
          .query_prefix = plan.query_prefix,
          .full_on_error = plan.on_plugin_error == OnPluginError::full};
}

Runtime::Runtime(PluginSearch search, LogSink log) : search_(std::move(search)), log_(std::move(log)) {}

// Members go in reverse order: the engine first, then policies, model, backend, libraries, and the arena last.
Runtime::~Runtime() = default;

Library& Runtime::library(const std::string& plugin, PluginKind kind) {
  PluginFile file = resolve_plugin(search_, plugin, kind);
  std::unique_ptr<Library>& loaded = libraries_[file.library.string()];
  if (!loaded) loaded = std::make_unique<Library>(std::move(file), HostLoan{.executor = arena_->executor(), .log = log_});
  return *loaded;
}

void Runtime::load(const CellPlan& cell) {
  stop_engine();
  load_backend(cell.backend);
  // A policy that cannot run here is refused before the weights are read.
  const std::unique_ptr<ModelSource> source = open_model(cell.model);
  for (const StagePlan& stage : cell.stages) {
    if (const auto* generate = std::get_if<GeneratePlan>(&stage.work)) load_policy(generate->policy);
    if (const auto* score = std::get_if<ScorePlan>(&stage.work)) load_policy(score->policy);
  }
  if (source) model_ = std::make_unique<Model>(*source, *info_, *backend_);
  engine_ = std::make_unique<Engine>(*model_, *backend_, language_->tokenizer(),
                                     EngineConfig{.batch_rows = cell.engine.batch_rows,
                                                  .in_flight = cell.engine.in_flight,
                                                  .memory = cell.engine.memory,
                                                  .max_rebuild_rows = cell.engine.max_rebuild_rows,
                                                  .executor = executor()});
  check_memory(cell);
}

void Runtime::check_memory(const CellPlan& cell) {
  for (const StagePlan& stage : cell.stages) {
    const auto* generate = std::get_if<GeneratePlan>(&stage.work);
    const auto* score = std::get_if<ScorePlan>(&stage.work);
    if (generate == nullptr && score == nullptr) continue;
    const uint64_t needed = engine_->chunk_bytes(policy(generate != nullptr ? generate->policy : score->policy));
    if (needed <= cell.engine.memory) continue;
    throw Error(Code::memory_too_small,
                fmt::format("one chunk of stage \"{}\" takes {} bytes of KV cache, [engine] memory allows {}", stage.id, needed,
                            cell.engine.memory));
  }
}

void Runtime::stop_engine() { engine_.reset(); }

void Runtime::unload_policies() {
  stop_engine();
  policies_.clear();
}

void Runtime::load_backend(const BackendPlan& plan) {
  const uint32_t threads = plan.threads > 0 ? plan.threads : usable_threads();
  const std::string key = fmt::format("{} {}{}", plan.plugin, threads, text_of(plan.params));
  if (backend_ && key == backend_key_) return;
  policies_.clear();
  model_.reset();
  model_path_.clear();
  backend_.reset();
  // The arena's size is what plugins were told when they were loaded, so it is made once.
  if (!arena_) arena_ = std::make_unique<HotArena>(threads);
  if (arena_->n_threads() != threads) {
    throw Error(Code::unsupported_combination, "[backend] threads cannot differ between the cells of a matrix");
  }
  backend_ = std::make_unique<Backend>(library(plan.plugin, PluginKind::backend), plan.params);
  backend_key_ = key;
}

std::unique_ptr<ModelSource> Runtime::open_model(const ModelPlan& plan) {
  if (model_ && plan.path == model_path_) return nullptr;
  policies_.clear();
  model_.reset();
  std::unique_ptr<ModelSource> source = ModelSource::open(plan.path);
  info_ = std::make_unique<ModelInfo>(source->config());
  language_ = std::make_unique<Language>(source->tokenizer());
  model_path_ = plan.path;
  return source;
}

std::string Runtime::key_of(const PolicyPlan& plan) {
  std::string when;
  for (Phase phase : plan.when) when += fmt::format("{},", name_of(phase));
  const std::string inner = plan.inner ? fmt::format(" around {}", key_of(*plan.inner)) : "";
  return fmt::format("{} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {}{}{}", plan.name, plan.plugin, plan.chunk,
                     to_text(plan.budget), name_of(plan.budget_scope), plan.budget_floor, name_of(plan.budget_of),
                     name_of(plan.k_type), name_of(plan.v_type), name_of(plan.positions), when, plan.period, plan.slack,
                     to_text(plan.n_sink), to_text(plan.n_recent), to_text(plan.n_stabilizers), to_text(plan.n_local),
                     plan.query_prefix, name_of(plan.on_plugin_error), plan.plugin_version, text_of(plan.params), inner);
}

// What can be said against a policy before the weights are read.
Runtime::MadePolicy Runtime::make_policy(const PolicyPlan& plan) {
  const Library& of_policy = library(plan.plugin, PluginKind::policy);
  std::unique_ptr<PolicyWeights> weights = PolicyWeights::open(of_policy.file(), plan.params, info_->config());
  const PolicyLoan loan{.backend = backend_.get(), .weights = weights ? &weights->tensors() : nullptr};
  auto policy = std::make_unique<Policy>(of_policy, info_->abi(), plan.params, loan);
  if (policy->manifest().needs.location == Location::device) {
    throw Error(Code::plugin_refused, fmt::format("policy \"{}\" works on the device, and this host lends no tensor ops yet", plan.name));
  }
  const uint32_t can = backend_->properties().evidence | TENURE_EVIDENCE_TOKEN_IDS;
  if (const uint32_t missing = policy->needs().evidence & ~can; missing != 0) {
    throw Error(Code::backend_unsupported, fmt::format("policy \"{}\" needs evidence (bits {:#x}) that backend \"{}\" does not supply",
                                                       plan.name, missing, backend_->id()));
  }
  if ((policy->needs().evidence & cached_evidence) != 0 && policy->manifest().needs.granularity != Granularity::kv_head) {
    throw Error(Code::plugin_refused,
                fmt::format("policy \"{}\" reads cached keys or values, which only granularity \"kv_head\" can show it", plan.name));
  }
  return {.weights = std::move(weights), .policy = std::move(policy)};
}

std::unique_ptr<Trainable> Runtime::make_trainable(const std::string& plugin, std::vector<ParamValue> params) {
  const Library& of_policy = library(plugin, PluginKind::policy);
  auto trainable = std::make_unique<Trainable>(of_policy, info_->abi(), std::move(params), *backend_);
  if (const uint32_t missing = trainable->evidence() & ~backend_->properties().evidence; missing != 0) {
    throw Error(Code::backend_unsupported, fmt::format("policy \"{}\" learns from evidence (bits {:#x}) that backend \"{}\" does not supply",
                                                       of_policy.id(), missing, backend_->id()));
  }
  return trainable;
}

void Runtime::load_policy(const PolicyPlan& plan) {
  LoadedPolicy& loaded = policies_[key_of(plan)];
  if (loaded.outer.policy) return;
  MadePolicy outer = make_policy(plan);
  MadePolicy inner = plan.inner ? make_policy(*plan.inner) : MadePolicy{};
  if (const std::string why = inner.policy ? why_not_wrap(*outer.policy, *inner.policy) : ""; !why.empty()) {
    throw Error(Code::unsupported_combination,
                fmt::format("policy \"{}\" cannot wrap \"{}\": {}", plan.name, plan.inner->name, why));
  }
  loaded.settings = policy_settings(plan, *outer.policy, inner.policy.get());
  const auto& layers = info_->config().layers;
  const auto has_window = [](const LayerConfig& layer) { return layer.window != 0; };
  if (loaded.settings.needs().rebuild && std::any_of(layers.begin(), layers.end(), has_window)) {
    throw Error(Code::unsupported_combination,
                fmt::format("policy \"{}\" rebuilds tokens, but \"{}\" has layers with a window, which keep nothing to rebuild from",
                            plan.name, model_path_));
  }
  if (plan.budget.kind != BudgetKind::none && std::all_of(layers.begin(), layers.end(), has_window)) {
    throw Error(Code::unsupported_combination,
                fmt::format("policy \"{}\" has a budget, but every layer of \"{}\" has a window, so there is nothing to decide on",
                            plan.name, model_path_));
  }
  check_pages(*backend_, plan, info_->config());
  loaded.inner = std::move(inner);
  loaded.outer = std::move(outer);
}

const PolicySettings& Runtime::policy(const PolicyPlan& plan) const { return policies_.at(key_of(plan)).settings; }

}  // namespace tenure
