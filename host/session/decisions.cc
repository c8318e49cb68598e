#include "session/decisions.h"

#include <fmt/format.h>

#include <algorithm>

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
  const auto is_over = [&](TableRange pool) {
    uint64_t n_slots = 0;
    for (uint32_t i = 0; i < pool.n; ++i) n_slots += n_counted(cache.table(pool.first + i), policy.policy->needs().rebuild);
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
  const bool reads = (policy.policy->needs().evidence & TENURE_EVIDENCE_ATTENTION_MASS) != 0;
  due_.clear();
  for (Session* session : sessions) {
    if (!is_due(*session, point)) continue;
    due_.push_back(session);
    KvCache& cache = session->cache();
    for (uint32_t i = 0; i < cache.n_tables(); ++i) {
      mark_protected(cache.table(i), session->budget().protection, static_cast<uint32_t>(session->ids().size()), point.last_chunk);
    }
  }
  if (reads && policy.policy->has_observe()) observe(sessions, call);
  const bool at_once = decides_at_once(policy);
  const uint32_t n_calls = at_once ? 1 : sessions.front()->cache().n_layers();
  for (uint32_t i = 0; i < n_calls; ++i) {
    if (!at_once && sessions.front()->cache().n_tables_of(i) == 0) continue;  // a layer with a window is the cache's own
    std::erase_if(due_, [](const Session* session) { return !session->policy_active(); });
    select(due_, call, at_once ? TENURE_ALL_LAYERS : i);
  }
  const auto share = (SessionTimes::Clock::now() - began) / static_cast<int64_t>(sessions.size());
  for (Session* session : sessions) {
    if (reads) session->cache().clear_mass();
    session->result().times.policy += share;
  }
}

void Decisions::observe(std::span<Session* const> sessions, const tenure_call& call) {
  const PolicySettings& policy = sessions.front()->policy();
  const bool at_once = policy.granularity == TENURE_GRANULARITY_TOKEN;
  const uint32_t n_calls = at_once ? 1 : sessions.front()->cache().n_layers();
  for (uint32_t i = 0; i < n_calls; ++i) {
    const uint32_t layer = at_once ? TENURE_ALL_LAYERS : i;
    if (tables_of(sessions.front()->cache(), layer).n == 0) continue;
    evidence_list_.clear();
    for (size_t s = 0; s < sessions.size(); ++s) {
      Session& session = *sessions[s];
      const TableRange range = tables_of(session.cache(), layer);
      session.keepset().open_scoring(layer, range.first, range.n, uint64_t{session.budget().slots} * range.n);
      evidence_[s] = {.head = {.struct_size = sizeof(tenure_evidence)},
                      .view = view_builders_[s].build(session, layer, call.phase),
                      .keepset = session.keepset().abi()};
      evidence_list_.push_back(&evidence_[s]);
    }
    statuses_.assign(sessions.size(), TENURE_OK);
    settle(sessions, policy.policy->observe(call, layer, evidence_list_, statuses_), ".observe");
  }
}

// Closes the verbs and takes each session's answer.
void Decisions::settle(std::span<Session* const> sessions, const Status& status, const char* hook) {
  for (size_t s = 0; s < sessions.size(); ++s) {
    Session& session = *sessions[s];
    session.keepset().close();
    const std::string& violation = session.keepset().violation();
    if (violation.empty() && status.ok() && statuses_[s] == TENURE_OK) continue;
    if (!session.policy_active()) continue;
    const std::string where = session.policy().policy->id() + hook;
    if (!violation.empty()) {
      session.policy_failed({TENURE_BAD_PLAN, where, violation});
    } else {
      session.policy_failed(status.ok() ? Status{statuses_[s], where, "the policy reported a failure"} : status);
    }
  }
}

void Decisions::select(std::span<Session* const> sessions, const tenure_call& call, uint32_t layer) {
  if (sessions.empty()) return;
  const PolicySettings& policy = sessions.front()->policy();
  if (policy.policy->has_select()) {
    views_.clear();
    keepsets_.clear();
    for (size_t s = 0; s < sessions.size(); ++s) {
      Session& session = *sessions[s];
      const TableRange range = tables_of(session.cache(), layer);
      session.keepset().open_selection(layer, range.first, range.n, uint64_t{session.budget().slots} * range.n);
      views_.push_back(view_builders_[s].build(session, layer, call.phase));
      keepsets_.push_back(session.keepset().abi());
    }
    statuses_.assign(sessions.size(), TENURE_OK);
    settle(sessions, policy.policy->select(call, layer, views_, keepsets_, statuses_), ".select");
  }
  for (Session* session : sessions) {
    if (session->policy_active()) choose(*session, layer, call.phase != TENURE_PHASE_DECODE);
  }
}

// No verdict. Admission reserved no more than the budget, so what is over it would be taken from other sessions.
void Decisions::keep_all(Session& session, uint32_t first_table, uint32_t n_tables) {
  const bool rebuilds = session.policy().policy->needs().rebuild;
  uint64_t n_slots = 0;
  for (uint32_t i = 0; i < n_tables; ++i) n_slots += n_counted(session.cache().table(first_table + i), rebuilds);
  const uint64_t budget = uint64_t{session.budget().slots} * n_tables;
  if (n_slots <= budget) return;
  session.policy_failed({TENURE_BAD_PLAN, session.policy().policy->id() + ".select",
                         fmt::format("neither score nor keep was called with {} slots where the budget is {}", n_slots, budget)});
}

void Decisions::choose(Session& session, uint32_t layer, bool compact) {
  const PolicySettings& policy = session.policy();
  KvCache& cache = session.cache();
  KeepSetBuilder& keepset = session.keepset();
  const TableRange range = tables_of(cache, layer);
  std::span<const KeptSlots> kept = keepset.kept();
  if (!policy.policy->has_select() || !keepset.has_kept()) {
    if (!keepset.has_scored()) return keep_all(session, range.first, range.n);
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
