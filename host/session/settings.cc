#include "session/settings.h"

#include <algorithm>

namespace tenure {
namespace {

uint64_t budget_slots(const Budget& budget, uint64_t n_fed, uint64_t slot_bytes) {
  switch (budget.kind) {
    case BudgetKind::slots:
      return budget.amount;
    case BudgetKind::bytes:
      return slot_bytes == 0 ? UINT32_MAX : budget.amount / slot_bytes;  // 0: every layer has a window
    case BudgetKind::fraction:
      return budget.fraction.rounded_up(n_fed);
    case BudgetKind::none:
      break;
  }
  return UINT32_MAX;
}

}  // namespace

PolicyNeeds PolicySettings::needs() const {
  PolicyNeeds both = policy->needs();
  if (inner == nullptr) return both;
  const PolicyNeeds& wrapped = inner->needs();
  both.evidence |= wrapped.evidence;
  both.mass_rows = std::min(both.mass_rows, wrapped.mass_rows);
  both.rebuild = both.rebuild || wrapped.rebuild;
  both.state_floats_per_slot += wrapped.state_floats_per_slot;
  both.state_floats_per_token += wrapped.state_floats_per_token;
  both.state_bytes_per_sequence += wrapped.state_bytes_per_sequence;
  return both;
}

bool PolicySettings::layers_at_once() const {
  return policy->layers_at_once() && (inner == nullptr || inner->layers_at_once());
}

std::string why_not_wrap(const Policy& outer, const Policy& inner) {
  const PolicyNeeds& a = outer.needs();
  const PolicyNeeds& b = inner.needs();
  const uint32_t mass = TENURE_EVIDENCE_ATTENTION_MASS;
  if (outer.manifest().needs.granularity != inner.manifest().needs.granularity) return "their kept sets are shared by different heads";
  if (inner.has_prepare() && b.rebuild) return "the wrapped one rebuilds";
  if (a.state_floats_per_slot > 0 && b.state_floats_per_slot > 0) return "both keep state for each slot";
  if (a.state_floats_per_token > 0 && b.state_floats_per_token > 0) return "both keep state for each token";
  if (a.state_bytes_per_sequence > 0 && b.state_bytes_per_sequence > 0) return "both keep state for a sequence";
  if ((a.evidence & b.evidence & mass) != 0 && a.mass_rows != b.mass_rows) return "they read the attention of different rows";
  return {};
}

SessionBudget session_budget(const PolicySettings& settings, uint64_t n_fed, uint64_t n_total, uint64_t slot_bytes,
                             uint32_t n_ctx, uint32_t max_rebuild_rows) {
  SessionBudget result;
  result.rank_positions = settings.positions == PositionMode::rank ||
                          (settings.positions == PositionMode::automatic && n_total > n_ctx);
  result.bounded = settings.budget.kind != BudgetKind::none && settings.when != 0;
  if (!result.bounded) return result;
  uint64_t slots = budget_slots(settings.budget, n_fed, slot_bytes);
  if (settings.budget_of == BudgetOf::peak) {
    const uint64_t inside = settings.chunk + (settings.needs().rebuild ? max_rebuild_rows : 0);
    slots = slots > inside ? slots - inside : 1;
  }
  slots = std::min<uint64_t>(slots, INT32_MAX);
  if (result.rank_positions) {
    const uint64_t between = std::max(uint64_t{settings.chunk}, uint64_t{settings.period} + settings.slack);
    result.most_slots = static_cast<uint32_t>(std::max(slots, n_ctx > between ? n_ctx - between : 1));
  }
  const auto count = [&](const SlotShare& share) {
    return static_cast<uint32_t>(std::min<uint64_t>(share.of_budget(slots), INT32_MAX));
  };
  result.protection = {.n_sink = count(settings.n_sink),
                       .n_recent = count(settings.n_recent),
                       .n_stabilizers = count(settings.n_stabilizers),
                       .n_local = count(settings.n_local)};
  result.slots = fit_budget(static_cast<uint32_t>(slots), result.protection);
  return result;
}

}  // namespace tenure
