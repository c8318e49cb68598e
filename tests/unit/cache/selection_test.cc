// Kept sets against what sorting everything says.
#include "cache/selection.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <tuple>

namespace tenure::test {
namespace {

SlotTable table_of(uint32_t n, std::mt19937& random, uint32_t n_scores = 6) {
  SlotTable table({.score = true, .rank = false, .state_floats = 0});
  table.append(0, n);
  Moves moves;
  std::vector<int32_t> released;
  if (n > 4) {  // slot order is no longer position order
    std::vector<uint32_t> keep(n);
    std::iota(keep.begin(), keep.end(), 0u);
    keep.erase(keep.begin() + random() % (n - 1));
    table.apply(keep, false, moves, released);
  }
  for (float& score : table.set_score()) score = static_cast<float>(random() % n_scores);
  for (uint8_t& flag : table.flags()) {
    const uint32_t kind = random() % 10;
    flag = kind == 0 ? uint8_t{TENURE_SLOT_SINK} : kind == 1 ? uint8_t{TENURE_SLOT_REBUILT} : uint8_t{0};
  }
  return table;
}

using Key =
    std::tuple<float, int32_t, uint32_t, uint32_t>;  // -score, pos, table, slot: ascending is best first

std::vector<Key> free_slots(const SlotTable& table, uint32_t index) {
  std::vector<Key> keys;
  for (uint32_t slot = 0; slot < table.size(); ++slot) {
    if (table.flags()[slot] == 0) keys.emplace_back(-table.score()[slot], table.pos()[slot], index, slot);
  }
  std::sort(keys.begin(), keys.end());
  return keys;
}

uint64_t n_protected(const SlotTable& table) {
  const auto flags = table.flags();
  return static_cast<uint64_t>(std::count_if(
      flags.begin(), flags.end(), [](uint8_t f) { return f != 0 && (f & TENURE_SLOT_REBUILT) == 0; }));
}

KeptSlots with_flagged(const SlotTable& table, KeptSlots chosen) {
  for (uint32_t slot = 0; slot < table.size(); ++slot) {
    if (table.flags()[slot] != 0) chosen.push_back(slot);
  }
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

}  // namespace

TEST_CASE("selection - the slot that goes first is the last of the ranking") {
  std::mt19937 random(5);
  for (int round = 0; round < 2000; ++round) {
    SlotTable table = table_of(1 + random() % 200, random);
    if (random() % 2 == 0) {
      for (float& score : table.set_score())
        score = static_cast<float>(random() % 5) - 2;  // below zero, too, and -0
      for (float& score : table.set_score()) score = score == 0 && random() % 2 == 0 ? -0.0f : score;
    }
    const std::vector<Key> order = free_slots(table, 0);
    CHECK(find_worst(table) == (order.empty() ? table.size() : std::get<3>(order.back())));
  }
}

TEST_CASE("selection - keeps the best, ties to the lower position, rebuilt slots outside the budget") {
  std::mt19937 random(1);
  Selection selection;
  for (int round = 0; round < 2000; ++round) {
    const SlotTable table = table_of(1 + random() % 40, random);
    const uint32_t budget = random() % 44;
    KeptSlots keep = {99};  // what was there goes
    selection.keep_best(table, budget, keep);
    const std::vector<Key> order = free_slots(table, 0);
    const uint64_t room = budget > n_protected(table) ? budget - n_protected(table) : 0;
    KeptSlots expected;
    for (size_t i = 0; i < std::min<uint64_t>(room, order.size()); ++i)
      expected.push_back(std::get<3>(order[i]));
    CHECK(keep == with_flagged(table, expected));
  }
}

TEST_CASE("selection - one slot too many goes the same way") {
  std::mt19937 random(2);
  Selection selection;
  for (int round = 0; round < 500; ++round) {
    const SlotTable table = table_of(2 + random() % 30, random, 3);
    const std::vector<Key> order = free_slots(table, 0);
    if (order.empty()) continue;
    KeptSlots keep;
    selection.keep_best(table, static_cast<uint32_t>(n_protected(table) + order.size() - 1), keep);
    REQUIRE(keep.size() == table.size() - 1);
    CHECK_FALSE(std::binary_search(keep.begin(), keep.end(), std::get<3>(order.back())));
  }
}

TEST_CASE("selection - one ranking over tables keeps the total, each table its floor and no more than the ceiling") {
  std::mt19937 random(3);
  Selection selection;
  for (int round = 0; round < 800; ++round) {
    std::vector<SlotTable> tables;
    const uint32_t n_tables = 1 + random() % 5;
    for (uint32_t i = 0; i < n_tables; ++i) tables.push_back(table_of(1 + random() % 25, random));
    std::vector<const SlotTable*> pointers;
    for (const SlotTable& table : tables) pointers.push_back(&table);
    const uint32_t floor = random() % 8;
    const uint32_t ceiling = random() % 3 == 0 ? UINT32_MAX : random() % 12;
    const uint64_t total = random() % (n_tables * 20);
    std::vector<KeptSlots> keep(n_tables);
    selection.keep_pooled(pointers, total, floor, ceiling, keep);

    std::vector<KeptSlots> expected(n_tables);
    std::vector<Key> pool;
    uint64_t n_kept = 0;
    for (uint32_t i = 0; i < n_tables; ++i) {
      std::vector<Key> order = free_slots(tables[i], i);
      const uint64_t fixed = n_protected(tables[i]);
      order.resize(std::min<size_t>(order.size(), ceiling > fixed ? ceiling - fixed : 0));
      const size_t n_floor = std::min<size_t>(floor > fixed ? floor - fixed : 0, order.size());
      for (size_t k = 0; k < n_floor; ++k) expected[i].push_back(std::get<3>(order[k]));
      pool.insert(pool.end(), order.begin() + static_cast<ptrdiff_t>(n_floor), order.end());
      n_kept += fixed + n_floor;
    }
    std::sort(pool.begin(), pool.end());
    for (size_t k = 0; k < pool.size() && n_kept < total; ++k, ++n_kept)
      expected[std::get<2>(pool[k])].push_back(std::get<3>(pool[k]));
    for (uint32_t i = 0; i < n_tables; ++i) CHECK(keep[i] == with_flagged(tables[i], expected[i]));
  }
}

TEST_CASE("fit_budget - protections never fill the budget") {
  Protection fits{.n_sink = 4, .n_recent = 10, .n_stabilizers = 8, .n_local = 2};
  CHECK(fit_budget(64, fits) == 64);
  CHECK(fits.n_recent == 10);
  Protection tight{.n_sink = 4, .n_recent = 10, .n_stabilizers = 8, .n_local = 2};
  CHECK(fit_budget(8, tight) == 8);
  CHECK(tight.n_recent == 3);
  CHECK(tight.n_stabilizers == 3);
  CHECK(tight.n_local == 2);
  Protection sinks{.n_sink = 4, .n_recent = 10, .n_stabilizers = 8, .n_local = 2};
  CHECK(fit_budget(2, sinks) == 5);
  CHECK(sinks.n_recent == 0);
}

TEST_CASE("mark_protected - each kind where it belongs, rebuilt stays") {
  SlotTable table({});
  table.append(0, 10);
  std::vector<uint8_t> mask(1);
  Moves moves;
  std::vector<int32_t> released;
  table.apply(std::vector<uint32_t>{0, 1, 2, 4, 5, 6, 7, 8, 9}, true, moves, released);
  table.append_rebuilt(3, 1, mask);  // the last slot
  const Protection protection{.n_sink = 2, .n_recent = 1, .n_stabilizers = 3, .n_local = 4};
  const auto marked = [&](bool prompt_end) {
    mark_protected(table, protection, 10, prompt_end);
    return std::vector<int>(table.flags().begin(), table.flags().end());
  };
  constexpr int sink = TENURE_SLOT_SINK, recent = TENURE_SLOT_RECENT, stabilizer = TENURE_SLOT_STABILIZER;
  constexpr int local = TENURE_SLOT_LOCAL, rebuilt = TENURE_SLOT_REBUILT;
  CHECK(marked(false) ==
        std::vector<int>{sink, sink, 0, 0, 0, 0, stabilizer, stabilizer, stabilizer | recent, rebuilt});
  CHECK(marked(true) == std::vector<int>{sink, sink, 0, 0, 0, local, local, local, local | recent, rebuilt});
}

}  // namespace tenure::test
