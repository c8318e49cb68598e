#include "session/layer_decision.h"

#include <fmt/format.h>

#include <algorithm>

namespace tenure {

uint32_t n_counted(const SlotTable& table, bool may_rebuild) {
  if (!may_rebuild) return table.size();
  const auto flags = table.flags();
  return table.size() - static_cast<uint32_t>(std::count_if(flags.begin(), flags.end(), [](uint8_t f) {
           return (f & TENURE_SLOT_REBUILT) != 0;
         }));
}

bool DecisionCall::any_due() const {
  return std::any_of(due.begin(), due.end(), [](uint8_t d) { return d != 0; });
}

void LayerDecision::begin(const DecisionCall& decision) {
  decision_ = &decision;
  failures_.clear();
  while (seats_.size() < decision.sessions.size()) seats_.emplace_back();
  for (Seat& seat : seats_) seat.failed = false;
}

// ---- what the policy sees and says ----

void LayerDecision::observe(uint32_t layer, const CachedRows* cached) {
  for (size_t s = 0; s < decision_->sessions.size(); ++s) {
    seats_[s].failed = false;
    if (decision_->due[s] != 0) mark(*decision_->sessions[s], layer);
  }
  if (!decision_->has_mass() && (cached == nullptr || !decision_->any_due())) return;
  constexpr uint32_t shown = cached_evidence | TENURE_EVIDENCE_ATTENTION_MASS;
  for (const Policy* one : {decision_->policy->inner, decision_->policy->policy}) {
    if (one != nullptr && one->has_observe() && (one->needs().evidence & shown) != 0) observe(*one, layer, cached);
  }
}

// Protections, anew, of the tables that a call on `layer` is about.
void LayerDecision::mark(Session& session, uint32_t layer) const {
  const DecidedTables tables = session.decided_tables(layer);
  for (uint32_t i = 0; i < tables.n; ++i) {
    mark_protected(tables[i], session.budget().protection, static_cast<uint32_t>(session.ids().size()), decision_->call.last_chunk != 0);
  }
}

// Mass is for all sessions, what is cached for those that are due.
void LayerDecision::observe(const Policy& policy, uint32_t layer, const CachedRows* cached) {
  const bool shows_cached = cached != nullptr && (policy.needs().evidence & cached_evidence) != 0;
  called_.clear();
  evidence_.clear();
  size_t n_heads_seen = 0;
  for (size_t s = 0; s < decision_->sessions.size(); ++s) {
    Session& session = *decision_->sessions[s];
    Seat& seat = seats_[s];
    const bool due = decision_->due[s] != 0;
    const DecidedTables tables = session.decided_tables(layer);
    ViewEvidence shown{.sequence = &session.sequence(policy), .mass = true};
    if (shows_cached && due) {
      shown.k = std::span(cached->k).subspan(n_heads_seen, tables.n);
      shown.v = std::span(cached->v).subspan(n_heads_seen, tables.n);
      n_heads_seen += tables.n;
    }
    if (seat.failed || (!due && !decision_->has_mass())) continue;
    seat.keepset.open_scoring(tables);
    seat.evidence = {.head = {.struct_size = sizeof(tenure_evidence)},
                     .view = seat.view.build(session, layer, decision_->call.phase, shown),
                     .keepset = seat.keepset.abi()};
    evidence_.push_back(&seat.evidence);
    called_.push_back(s);
  }
  if (called_.empty()) return;
  statuses_.assign(called_.size(), TENURE_OK);
  const bool is_read = !shows_cached || cached->status.ok();
  close(policy, layer, ".observe", is_read ? policy.observe(decision_->call, layer, evidence_, statuses_) : cached->status);
}

void LayerDecision::select(uint32_t layer) {
  for (const Policy* one : {decision_->policy->inner, decision_->policy->policy}) {
    if (one != nullptr && one->has_select()) select(*one, layer);
  }
  // A decode step releases one slot of many; where a period's worth goes, survivors keep their order.
  const bool compact = decision_->call.phase != TENURE_PHASE_DECODE || decision_->policy->period > 1;
  for (size_t s = 0; s < decision_->sessions.size(); ++s) {
    if (may_choose(s)) choose(s, layer, compact);
  }
}

void LayerDecision::select(const Policy& policy, uint32_t layer) {
  called_.clear();
  views_.clear();
  keepsets_.clear();
  for (size_t s = 0; s < decision_->sessions.size(); ++s) {
    if (!may_choose(s)) continue;
    Session& session = *decision_->sessions[s];
    Seat& seat = seats_[s];
    seat.keepset.open_selection(session.decided_tables(layer));
    views_.push_back(seat.view.build(session, layer, decision_->call.phase, {.sequence = &session.sequence(policy), .mass = true}));
    keepsets_.push_back(seat.keepset.abi());
    called_.push_back(s);
  }
  if (called_.empty()) return;
  statuses_.assign(called_.size(), TENURE_OK);
  close(policy, layer, ".select", policy.select(decision_->call, layer, views_, keepsets_, statuses_));
}

void LayerDecision::close(const Policy& policy, uint32_t layer, const char* hook, const Status& call) {
  for (size_t i = 0; i < called_.size(); ++i) {
    Status failure = seats_[called_[i]].keepset.close(policy.id(), hook, call, statuses_[i]);
    if (!failure.ok()) fail(called_[i], layer, policy, std::move(failure));
  }
}

void LayerDecision::fail(size_t session, uint32_t layer, const Policy& of, Status status) {
  seats_[session].failed = true;
  failures_.push_back({.session = session, .layer = layer, .of = &of, .status = std::move(status)});
}

void LayerDecision::forget_mass(uint32_t layer) {
  if (!decision_->has_mass()) return;
  for (Session* session : decision_->sessions) session->cache().clear_mass(layer);
}

// ---- which slots go ----

void LayerDecision::choose(size_t index, uint32_t layer, bool compact) {
  Session& session = *decision_->sessions[index];
  const PolicySettings& policy = *decision_->policy;
  const KeepSetBuilder& keepset = seats_[index].keepset;
  const DecidedTables tables = session.decided_tables(layer);
  const bool may_keep = policy.policy->has_select() || (policy.inner != nullptr && policy.inner->has_select());
  std::span<const KeptSlots> kept;
  if (may_keep && keepset.has_kept()) {
    kept = keepset.kept();
  } else if (!tables[0].is_scored()) {
    // No verdict. Admission reserved no more than the budget, so what is over it would be taken from other sessions.
    uint64_t n_slots = 0;
    for (uint32_t i = 0; i < tables.n; ++i) n_slots += n_counted(tables[i], decision_->needs.rebuild);
    if (n_slots <= tables.budget) return;
    return fail(index, layer, *policy.policy,
                {TENURE_BAD_PLAN, policy.policy->id() + ".select",
                 fmt::format("neither score nor keep was called with {} slots where the budget is {}", n_slots, tables.budget)});
  } else if (!compact && release_worst(session, tables)) {
    return;
  } else {
    kept = rank(session, tables);
  }
  for (uint32_t i = 0; i < tables.n; ++i) session.cache().release(tables.first + i, kept[i], compact);
}

// A decode step's ordinary decision: every table is at most one slot over its budget. False when it is another one.
bool LayerDecision::release_worst(const Session& session, const DecidedTables& tables) {
  const PolicySettings& policy = *decision_->policy;
  if (policy.scope != BudgetScope::head && tables.n > 1) return false;
  worst_.clear();
  for (uint32_t i = 0; i < tables.n; ++i) {
    const uint32_t n = n_counted(tables[i], decision_->needs.rebuild);
    if (n > session.budget().slots + 1 || tables[i].own_budget() != UINT32_MAX) return false;
    const uint32_t worst = n > session.budget().slots ? find_worst(tables[i]) : UINT32_MAX;
    if (worst == tables[i].size()) return false;
    worst_.push_back(worst);
  }
  for (uint32_t i = 0; i < tables.n; ++i) {
    if (worst_[i] != UINT32_MAX) tables.cache->release_slot(tables.first + i, worst_[i]);
  }
  return true;
}

// By score.
std::span<const KeptSlots> LayerDecision::rank(const Session& session, const DecidedTables& tables) {
  const PolicySettings& policy = *decision_->policy;
  const uint32_t budget = session.budget().slots;
  keep_.resize(std::max<size_t>(keep_.size(), tables.n));
  const std::span<KeptSlots> chosen(keep_.data(), tables.n);
  if (policy.scope == BudgetScope::head || tables[0].own_budget() != UINT32_MAX || tables.n == 1) {
    for (uint32_t i = 0; i < tables.n; ++i) {
      const uint32_t own = tables[i].own_budget();
      selection_.keep_best(tables[i], own == UINT32_MAX ? budget : own, chosen[i]);
    }
    return chosen;
  }
  tables_.clear();
  for (uint32_t i = 0; i < tables.n; ++i) tables_.push_back(&tables[i]);
  selection_.keep_pooled(tables_, tables.budget, static_cast<uint32_t>(policy.floor * budget), session.budget().most_slots,
                         chosen);
  return chosen;
}

}  // namespace tenure
