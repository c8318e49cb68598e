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

SessionBudget session_budget(const PolicySettings& settings, uint64_t n_fed, uint64_t n_total, uint64_t slot_bytes,
                             uint32_t n_ctx, uint32_t max_rebuild_rows) {
  SessionBudget result;
  result.rank_positions = settings.positions == PositionMode::rank ||
                          (settings.positions == PositionMode::automatic && n_total > n_ctx);
  result.bounded = settings.budget.kind != BudgetKind::none && settings.when != 0;
  if (!result.bounded) return result;
  uint64_t slots = budget_slots(settings.budget, n_fed, slot_bytes);
  if (settings.budget_of == BudgetOf::peak) {
    const uint64_t inside = settings.chunk + (settings.policy->needs().rebuild ? max_rebuild_rows : 0);
    slots = slots > inside ? slots - inside : 1;
  }
  slots = std::min<uint64_t>(slots, INT32_MAX);
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
