#include "session/settings.h"

#include "unit/session/tiny_host.h"

namespace tenure::test {
namespace {

TinyHost& host() {
  static TinyHost tiny;
  return tiny;
}

Budget budget(BudgetKind kind, uint64_t amount, Fraction fraction = {}) {
  return {.kind = kind, .amount = amount, .fraction = fraction};
}

}  // namespace

TEST_CASE("session_budget - slots, a share of what is fed, bytes") {
  PolicySettings policy = host().policy("h2o");
  policy.n_recent = {};
  const auto made = [&] { return session_budget(policy, 1001, 1100, 192, 512, 96).slots; };
  policy.budget = slots(50);
  CHECK(made() == 50);
  policy.budget = budget(BudgetKind::fraction, 0, {1, 8});
  CHECK(made() == 126);  // 125.1 rounded up
  policy.budget = budget(BudgetKind::bytes, 192 * 30 + 191);
  CHECK(made() == 30);
  policy.budget = budget(BudgetKind::bytes, 1);
  CHECK(made() == 1);
}

TEST_CASE("session_budget - no budget, or no phase to decide in, means the full cache") {
  PolicySettings policy = host().policy("h2o");
  CHECK_FALSE(session_budget(policy, 10, 20, 1, 512, 96).bounded);
  policy.budget = slots(5);
  CHECK(session_budget(policy, 10, 20, 1, 512, 96).bounded);
  policy.when = 0;
  CHECK_FALSE(session_budget(policy, 10, 20, 1, 512, 96).bounded);
}

TEST_CASE("session_budget - of the peak: chunk and rebuilt rows are inside") {
  PolicySettings policy = host().policy("h2o");
  policy.n_recent = {};
  policy.budget = slots(400);
  policy.chunk = 256;
  policy.budget_of = BudgetOf::peak;
  CHECK(session_budget(policy, 1000, 1100, 1, 512, 96).slots == 144);
  PolicySettings rebuilding = host().policy("rebuild_test");
  rebuilding.budget = slots(400);
  rebuilding.budget_of = BudgetOf::peak;
  CHECK(session_budget(rebuilding, 1000, 1100, 1, 512, 96).slots == 48);
  rebuilding.budget = slots(300);
  CHECK(session_budget(rebuilding, 1000, 1100, 1, 512, 96).slots == 1);
}

TEST_CASE("session_budget - positions are ranks when asked, or when the context does not hold the request") {
  PolicySettings policy = host().policy("h2o");
  policy.positions = PositionMode::automatic;
  CHECK_FALSE(session_budget(policy, 500, 512, 1, 512, 96).rank_positions);
  CHECK(session_budget(policy, 500, 513, 1, 512, 96).rank_positions);
  policy.positions = PositionMode::rank;
  CHECK(session_budget(policy, 1, 2, 1, 512, 96).rank_positions);
  policy.positions = PositionMode::original;
  CHECK_FALSE(session_budget(policy, 1, 9999, 1, 512, 96).rank_positions);
}

TEST_CASE("session_budget - no head grows past the context between decisions where positions are ranks") {
  PolicySettings policy = host().policy("h2o");
  policy.budget = slots(400);
  policy.chunk = 100;
  policy.positions = PositionMode::original;
  CHECK(session_budget(policy, 500, 512, 1, 512, 96).most_slots == UINT32_MAX);
  policy.positions = PositionMode::rank;
  CHECK(session_budget(policy, 500, 512, 1, 512, 96).most_slots == 412);
  CHECK(session_budget(policy, 500, 512, 1, 512, 96).slots == 400);
  policy.period = 100;
  policy.slack = 20;
  CHECK(session_budget(policy, 500, 512, 1, 512, 96).most_slots == 400);  // what was asked for stays
  CHECK(session_budget(policy, 500, 512, 1, 512, 96).slots == 400);
  policy.budget = slots(40);
  CHECK(session_budget(policy, 500, 512, 1, 512, 96).most_slots == 392);
}

TEST_CASE("session_budget - shares of the budget become counts") {
  PolicySettings policy = host().policy("h2o");
  policy.budget = slots(33);
  policy.n_sink = share(4);
  policy.n_recent = {.is_fraction = true, .count = 0, .fraction = {1, 2}};
  const SessionBudget made = session_budget(policy, 1000, 1100, 1, 512, 96);
  CHECK(made.protection.n_sink == 4);
  CHECK(made.protection.n_recent == 16);
}

}  // namespace tenure::test
