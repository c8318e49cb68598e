#include "session/decisions.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace tenure {
namespace {

// Tables that a call on `layer` is about.
struct TableRange {
  uint32_t first = 0;
  uint32_t n = 0;
};

TableRange tables_of(const KvCache& cache, uint32_t layer) {
  if (layer == TENURE_ALL_LAYERS) return {.first = 0, .n = cache.n_tables()};
  return {.first = cache.first_table(layer), .n = cache.n_tables_of(layer)};
}

// Slots that count against the budget; flags are looked through only where a slot can be rebuilt.
uint32_t n_counted(const SlotTable& table, bool may_rebuild) {
  if (!may_rebuild) return table.size();
  const auto flags = table.flags();
  return table.size() - static_cast<uint32_t>(std::count_if(flags.begin(), flags.end(), [](uint8_t f) {
           return (f & TENURE_SLOT_REBUILT) != 0;
         }));
}

bool is_due(Session& session, const DecisionPoint& point) {
  const PolicySettings& policy = session.policy();
  if ((policy.when & point.phase) == 0) return false;
  const bool decode = point.phase == TENURE_PHASE_DECODE;
  if (decode && session.n_steps() % policy.period != 0) return false;
  const uint64_t allowed = session.budget().slots + (decode ? policy.slack : 0);
  const KvCache& cache = session.cache();
  const bool rebuilds = policy.needs().rebuild;
  const auto is_over = [&](TableRange pool) {
    uint64_t n_slots = 0;
    for (uint32_t i = 0; i < pool.n; ++i) n_slots += n_counted(cache.table(pool.first + i), rebuilds);
    return n_slots > allowed * pool.n;
  };
  if (policy.scope == BudgetScope::global) return is_over(tables_of(cache, TENURE_ALL_LAYERS));
  for (uint32_t layer = 0; layer < cache.n_layers(); ++layer) {
    const TableRange of_layer = tables_of(cache, layer);
    if (of_layer.n == 0) continue;
    if (policy.scope == BudgetScope::layer && is_over(of_layer)) return true;
    for (uint32_t i = 0; i < of_layer.n && policy.scope == BudgetScope::head; ++i) {
      if (is_over({.first = of_layer.first + i, .n = 1})) return true;
    }
    if (policy.granularity == TENURE_GRANULARITY_TOKEN) break;  // the one table of them all
  }
  return false;
}

bool decides_at_once(const PolicySettings& policy) {
  return policy.scope == BudgetScope::global || policy.granularity == TENURE_GRANULARITY_TOKEN;
}

}  // namespace

void Decisions::run(std::span<Session* const> sessions) {
  const DecisionPoint point = *sessions.front()->decision();
  const PolicySettings& policy = sessions.front()->policy();
  const auto began = SessionTimes::Clock::now();
  const tenure_call call{.head = {.struct_size = sizeof(tenure_call)},
                         .phase = point.phase,
                         .last_chunk = point.last_chunk ? 1u : 0u};
  view_builders_.resize(std::max(view_builders_.size(), sessions.size()));
  evidence_.resize(std::max(evidence_.size(), sessions.size()));
  const bool has_mass = (policy.needs().evidence & TENURE_EVIDENCE_ATTENTION_MASS) != 0;
  const bool has_cached = (policy.needs().evidence & cached_evidence) != 0;
  due_.clear();
  for (Session* session : sessions) {
    if (is_due(*session, point)) due_.push_back(session);
  }
  // A layer's side arrays stay in the CPU's cache from its marks to its choice.
  const auto see = [&](uint32_t layer) {
    for (Session* session : due_) mark(*session, layer, point.last_chunk);
    if (has_mass) observe(sessions, call, layer);
    if (!has_mass && has_cached && !due_.empty()) observe(due_, call, layer);
    std::erase_if(due_, [](const Session* session) { return !session->policy_active(); });
  };
  const auto settled = [&](uint32_t layer) {
    for (Session* session : sessions) {
      if (has_mass) session->cache().clear_mass(layer);
    }
  };
  const KvCache& any = sessions.front()->cache();
  const bool all_see = policy.granularity == TENURE_GRANULARITY_TOKEN;
  const bool all_choose = decides_at_once(policy);
  if (all_see) see(TENURE_ALL_LAYERS);
  for (uint32_t layer = 0; layer < any.n_layers() && !(all_see && all_choose); ++layer) {
    if (any.n_tables_of(layer) == 0) continue;  // a layer with a window is the cache's own
    see(layer);
    if (all_choose) continue;
    select(due_, call, layer);
    settled(layer);
  }
  if (all_choose) select(due_, call, TENURE_ALL_LAYERS);
  if (all_choose) settled(TENURE_ALL_LAYERS);
  for (Session* session : sessions) {
    if (Status status = session->remove_noted(); !status.ok()) session->policy_failed(status);
  }
  const auto share = (SessionTimes::Clock::now() - began) / static_cast<int64_t>(sessions.size());
  for (Session* session : sessions) session->result().times.policy += share;
}

// Protections, anew, of the tables that a call on `layer` is about.
void Decisions::mark(Session& session, uint32_t layer, bool prompt_end) {
  const TableRange range = tables_of(session.cache(), layer);
  for (uint32_t i = 0; i < range.n; ++i) {
    mark_protected(session.cache().table(range.first + i), session.budget().protection, static_cast<uint32_t>(session.ids().size()),
                   prompt_end);
  }
}

// Of the sessions that are due, in order, every head's keys and values after each other.
Status Decisions::read_cache(uint32_t layer, uint32_t evidence) {
  reads_.clear();
  cached_k_.clear();
  cached_v_.clear();
  uint64_t n_floats = 0;
  for (const Session* session : due_) {
    const KvCache& cache = session->cache();
    for (uint32_t head = 0; head < cache.n_kv_heads(layer); ++head) {
      reads_.push_back(cache.all_slots(layer, head));
      n_floats += uint64_t{2} * reads_.back().n_slots * reads_.back().head_dim;
    }
  }
  if (cached_.size() < n_floats) cached_.resize(n_floats);
  float* next = cached_.data();
  for (tenure_kv_read& read : reads_) {
    const uint64_t n = uint64_t{read.n_slots} * read.head_dim;
    if ((evidence & TENURE_EVIDENCE_CACHED_K) != 0) read.k = std::exchange(next, next + n);
    if ((evidence & TENURE_EVIDENCE_CACHED_V) != 0) read.v = std::exchange(next, next + n);
    cached_k_.push_back(read.k);
    cached_v_.push_back(read.v);
  }
  const Status status = backend_.cache_read(reads_);
  return status.ok() ? backend_.synchronize() : status;
}

void Decisions::observe(std::span<Session* const> sessions, const tenure_call& call, uint32_t layer) {
  const PolicySettings& policy = sessions.front()->policy();
  const uint32_t cached = policy.needs().evidence & cached_evidence;
  Status status;
  if (cached != 0) status = read_cache(layer, cached);
  for (const Policy* one : {policy.inner, policy.policy}) {
    constexpr uint32_t shown = cached_evidence | TENURE_EVIDENCE_ATTENTION_MASS;
    if (one != nullptr && one->has_observe() && (one->needs().evidence & shown) != 0) observe(sessions, *one, call, layer, status);
  }
}

void Decisions::observe(std::span<Session* const> sessions, const Policy& policy, const tenure_call& call, uint32_t layer, Status status) {
  const bool shows_cached = (policy.needs().evidence & cached_evidence) != 0;
  evidence_list_.clear();
  size_t n_heads_seen = 0;
  for (size_t s = 0; s < sessions.size(); ++s) {
    Session& session = *sessions[s];
    const TableRange range = tables_of(session.cache(), layer);
    ViewEvidence evidence{.sequence = &session.sequence(policy), .mass = true};
    if (shows_cached && status.ok() && std::find(due_.begin(), due_.end(), &session) != due_.end()) {
      evidence.k = std::span(cached_k_).subspan(n_heads_seen, range.n);
      evidence.v = std::span(cached_v_).subspan(n_heads_seen, range.n);
      n_heads_seen += range.n;
    }
    session.keepset().open_scoring(layer, range.first, range.n, uint64_t{session.budget().slots} * range.n);
    evidence_[s] = {.head = {.struct_size = sizeof(tenure_evidence)},
                    .view = view_builders_[s].build(session, layer, call.phase, evidence),
                    .keepset = session.keepset().abi()};
    evidence_list_.push_back(&evidence_[s]);
  }
  statuses_.assign(sessions.size(), TENURE_OK);
  if (status.ok()) status = policy.observe(call, layer, evidence_list_, statuses_);
  settle(sessions, policy, status, ".observe");
}

void Decisions::settle(std::span<Session* const> sessions, const Policy& policy, const Status& status, const char* hook) {
  for (size_t s = 0; s < sessions.size(); ++s) sessions[s]->settle(policy, hook, status, statuses_[s]);
}

void Decisions::select(std::span<Session* const> sessions, const tenure_call& call, uint32_t layer) {
  if (sessions.empty()) return;
  const PolicySettings& policy = sessions.front()->policy();
  for (const Policy* one : {policy.inner, policy.policy}) {
    if (one != nullptr && one->has_select()) select(sessions, *one, call, layer);
  }
  // A decode step releases one slot of many; where a period's worth goes, survivors keep their order.
  const bool compact = call.phase != TENURE_PHASE_DECODE || policy.period > 1;
  for (Session* session : sessions) {
    if (session->policy_active()) choose(*session, layer, compact);
  }
}

void Decisions::select(std::span<Session* const> sessions, const Policy& policy, const tenure_call& call, uint32_t layer) {
  views_.clear();
  keepsets_.clear();
  for (size_t s = 0; s < sessions.size(); ++s) {
    Session& session = *sessions[s];
    const TableRange range = tables_of(session.cache(), layer);
    session.keepset().open_selection(layer, range.first, range.n, uint64_t{session.budget().slots} * range.n);
    views_.push_back(view_builders_[s].build(session, layer, call.phase, {.sequence = &session.sequence(policy), .mass = true}));
    keepsets_.push_back(session.keepset().abi());
  }
  statuses_.assign(sessions.size(), TENURE_OK);
  settle(sessions, policy, policy.select(call, layer, views_, keepsets_, statuses_), ".select");
}

// No verdict. Admission reserved no more than the budget, so what is over it would be taken from other sessions.
void Decisions::keep_all(Session& session, uint32_t first_table, uint32_t n_tables) {
  const bool rebuilds = session.policy().needs().rebuild;
  uint64_t n_slots = 0;
  for (uint32_t i = 0; i < n_tables; ++i) n_slots += n_counted(session.cache().table(first_table + i), rebuilds);
  const uint64_t budget = uint64_t{session.budget().slots} * n_tables;
  if (n_slots <= budget) return;
  session.policy_failed({TENURE_BAD_PLAN, session.policy().policy->id() + ".select",
                         fmt::format("neither score nor keep was called with {} slots where the budget is {}", n_slots, budget)});
}

// A decode step's ordinary decision: every table is at most one slot over its budget. False when it is another one. The
// slots go when every layer has decided.
bool Decisions::remove_worst(Session& session, uint32_t layer) {
  const PolicySettings& policy = session.policy();
  const KvCache& cache = session.cache();
  const TableRange range = tables_of(cache, layer);
  const bool rebuilds = policy.needs().rebuild;
  if (policy.scope != BudgetScope::head && range.n > 1) return false;
  worst_.clear();
  for (uint32_t i = 0; i < range.n; ++i) {
    const SlotTable& table = cache.table(range.first + i);
    const uint32_t n = n_counted(table, rebuilds);
    if (n > session.budget().slots + 1 || session.keepset().n_keep(range.first + i) != UINT32_MAX) return false;
    const uint32_t worst = n > session.budget().slots ? find_worst(table) : UINT32_MAX;
    if (worst == table.size()) return false;
    worst_.push_back(worst);
  }
  session.note_removal(range.first, worst_);
  return true;
}

void Decisions::choose(Session& session, uint32_t layer, bool compact) {
  const PolicySettings& policy = session.policy();
  KvCache& cache = session.cache();
  KeepSetBuilder& keepset = session.keepset();
  const TableRange range = tables_of(cache, layer);
  std::span<const KeptSlots> kept = keepset.kept();
  const bool may_keep = policy.policy->has_select() || (policy.inner != nullptr && policy.inner->has_select());
  if (!may_keep || !keepset.has_kept()) {
    if (!keepset.has_scored()) return keep_all(session, range.first, range.n);
    if (!compact && remove_worst(session, layer)) return;
    keep_.resize(std::max<size_t>(keep_.size(), range.n));
    const std::span<KeptSlots> chosen(keep_.data(), range.n);
    const uint32_t budget = session.budget().slots;
    const bool own_budgets = keepset.n_keep(range.first) != UINT32_MAX;
    if (policy.scope == BudgetScope::head || own_budgets || range.n == 1) {
      for (uint32_t i = 0; i < range.n; ++i) {
        const uint32_t own = keepset.n_keep(range.first + i);
        selection_.keep_best(cache.table(range.first + i), own == UINT32_MAX ? budget : own, chosen[i]);
      }
    } else {
      tables_.clear();
      for (uint32_t i = 0; i < range.n; ++i) tables_.push_back(&cache.table(range.first + i));
      selection_.keep_pooled(tables_, uint64_t{budget} * range.n, static_cast<uint32_t>(policy.floor * budget), chosen);
    }
    kept = chosen;
  }
  if (Status status = session.apply(range.first, kept, compact); !status.ok()) session.policy_failed(status);
}

}  // namespace tenure
