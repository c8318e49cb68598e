#include "session/decisions.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace tenure {
namespace {

bool is_due(Session& session, const DecisionPoint& point) {
  const PolicySettings& policy = session.policy();
  if ((policy.when & point.phase) == 0) return false;
  const bool decode = point.phase == TENURE_PHASE_DECODE;
  if (decode && session.n_steps() % policy.period != 0) return false;
  const uint64_t allowed = session.budget().slots + (decode ? policy.slack : 0);
  const KvCache& cache = session.cache();
  const bool rebuilds = policy.needs().rebuild;
  const auto is_over = [&](uint32_t first, uint32_t n) {
    uint64_t n_slots = 0;
    for (uint32_t i = 0; i < n; ++i) n_slots += n_counted(cache.table(first + i), rebuilds);
    return n_slots > allowed * n;
  };
  if (policy.scope == BudgetScope::global) return is_over(0, cache.n_tables());
  for (uint32_t layer = 0; layer < cache.n_layers(); ++layer) {
    const uint32_t n = cache.n_tables_of(layer);
    if (n == 0) continue;
    const uint32_t first = cache.first_table(layer);
    if (policy.scope == BudgetScope::layer && is_over(first, n)) return true;
    for (uint32_t i = 0; i < n && policy.scope == BudgetScope::head; ++i) {
      if (is_over(first + i, 1)) return true;
    }
    if (policy.granularity == TENURE_GRANULARITY_TOKEN) break;  // the one table of them all
  }
  return false;
}

}  // namespace

Decisions::Decisions(Backend& backend, const Executor& executor) : backend_(backend), executor_(executor) {
  const uint32_t n_workers = executor_.n_workers(executor_.ctx);
  while (workers_.size() < n_workers) workers_.emplace_back();
}

void Decisions::run(std::span<Session* const> sessions) {
  const auto began = SessionTimes::Clock::now();
  const DecisionPoint point = *sessions.front()->decision();
  const PolicySettings& policy = sessions.front()->policy();
  due_.clear();
  for (Session* session : sessions) due_.push_back(is_due(*session, point) ? 1 : 0);
  decision_ = {.call = {.head = {.struct_size = sizeof(tenure_call)}, .phase = point.phase, .last_chunk = point.last_chunk ? 1u : 0u},
               .policy = &policy,
               .needs = policy.needs(),
               .sessions = sessions,
               .due = due_};
  const bool all_see = policy.granularity == TENURE_GRANULARITY_TOKEN;
  all_choose_ = all_see || policy.scope == BudgetScope::global;
  const KvCache& any = sessions.front()->cache();
  layers_.clear();
  if (all_see) layers_.push_back(TENURE_ALL_LAYERS);
  for (uint32_t layer = 0; layer < any.n_layers() && !all_see; ++layer) {
    if (any.n_tables_of(layer) > 0) layers_.push_back(layer);  // a layer with a window is the cache's own
  }
  for (LayerDecision& worker : workers_) worker.begin(decision_);
  decide_layers();
  if (all_choose_) {
    for (const LayerDecision& worker : workers_) {
      for (const PolicyFailure& failure : worker.failures()) due_[failure.session] = 0;
    }
    workers_.front().select(TENURE_ALL_LAYERS);
    workers_.front().forget_mass(TENURE_ALL_LAYERS);
  }
  gather_failures();
  for (const PolicyFailure& failure : failures_) {
    Session& session = *sessions[failure.session];
    if (session.policy_active()) session.policy_failed(*failure.of, failure.status);
  }
  for (Session* session : sessions) {
    if (Status status = session->settle_cache(); !status.ok()) session->policy_failed(status);
  }
  const auto share = (SessionTimes::Clock::now() - began) / static_cast<int64_t>(sessions.size());
  for (Session* session : sessions) session->result().times.policy += share;
}

// What is cached is read for as many layers as are decided at once, no more: it is f32, up to four times its pages.
void Decisions::decide_layers() {
  const bool at_once = decision_.policy->layers_at_once() && layers_.size() > 1;
  const bool reads = decision_.has_cached() && decision_.any_due();
  const size_t n_together = reads ? (at_once ? workers_.size() : 1) : layers_.size();
  for (size_t first = 0; first < layers_.size(); first += n_together) {
    const std::span<const uint32_t> layers = std::span(layers_).subspan(first, std::min(n_together, layers_.size() - first));
    if (reads) read_cache(layers);
    auto decide_one = [&](uint32_t i, uint32_t worker) { decide(layers[i], reads ? &cached_rows_[i] : nullptr, workers_[worker]); };
    if (at_once) {
      executor_.parallel_for(
          executor_.ctx, static_cast<uint32_t>(layers.size()),
          [](void* ctx, uint32_t i, uint32_t worker) { (*static_cast<decltype(decide_one)*>(ctx))(i, worker); },
          &decide_one);
    } else {
      for (uint32_t i = 0; i < layers.size(); ++i) decide_one(i, 0);
    }
  }
}

// A layer's side arrays stay in the CPU's cache from its marks to its choice.
void Decisions::decide(uint32_t layer, const CachedRows* cached, LayerDecision& worker) const {
  worker.observe(layer, cached);
  if (all_choose_) return;
  worker.select(layer);
  worker.forget_mass(layer);
}

void Decisions::read_cache(std::span<const uint32_t> layers) {
  reads_.clear();
  uint64_t n_floats = 0;
  const auto for_each_due = [&](auto&& f) {
    for (size_t s = 0; s < due_.size(); ++s) {
      if (due_[s] != 0) f(decision_.sessions[s]->cache());
    }
  };
  for (uint32_t layer : layers) {
    for_each_due([&](const KvCache& cache) {
      for (uint32_t head = 0; head < cache.n_kv_heads(layer); ++head) {
        reads_.push_back(cache.all_slots(layer, head));
        n_floats += uint64_t{2} * reads_.back().n_slots * reads_.back().head_dim;
      }
    });
  }
  if (cached_.size() < n_floats) cached_.resize(n_floats);
  if (cached_rows_.size() < layers.size()) cached_rows_.resize(layers.size());
  const uint32_t evidence = decision_.needs.evidence;
  float* next = cached_.data();
  size_t read = 0;
  for (size_t i = 0; i < layers.size(); ++i) {
    CachedRows& rows = cached_rows_[i];
    rows.k.clear();
    rows.v.clear();
    for_each_due([&](const KvCache& cache) {
      for (uint32_t head = 0; head < cache.n_kv_heads(layers[i]); ++head, ++read) {
        const uint64_t n = uint64_t{reads_[read].n_slots} * reads_[read].head_dim;
        if ((evidence & TENURE_EVIDENCE_CACHED_K) != 0) reads_[read].k = std::exchange(next, next + n);
        if ((evidence & TENURE_EVIDENCE_CACHED_V) != 0) reads_[read].v = std::exchange(next, next + n);
        rows.k.push_back(reads_[read].k);
        rows.v.push_back(reads_[read].v);
      }
    });
  }
  Status status = backend_.cache_read(reads_);
  if (status.ok()) status = backend_.synchronize();
  for (size_t i = 0; i < layers.size(); ++i) cached_rows_[i].status = status;
}

// By layer: the first one's failure is a session's, whichever worker was faster.
void Decisions::gather_failures() {
  failures_.clear();
  for (const LayerDecision& worker : workers_) failures_.insert(failures_.end(), worker.failures().begin(), worker.failures().end());
  std::stable_sort(failures_.begin(), failures_.end(), [](const PolicyFailure& a, const PolicyFailure& b) {
    return std::tie(a.session, a.layer) < std::tie(b.session, b.layer);
  });
}

}  // namespace tenure
