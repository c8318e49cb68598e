// Side arrays under random histories, against a list of slots that knows what it is.
#include "cache/slot_table.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

namespace tenure::test {
namespace {

// What a slot should be: stored_rotation is where its key was turned to.
struct Slot {
  int32_t pos;
  int32_t stored_rotation;
  uint8_t flags;
  float score;
  float state;
  bool operator==(const Slot&) const = default;
};

int32_t rank_of(const std::vector<Slot>& slots, int32_t pos) {
  return static_cast<int32_t>(
      std::count_if(slots.begin(), slots.end(), [&](const Slot& s) { return s.pos < pos; }));
}

struct Model {
  std::vector<Slot> slots;
  int32_t n_tokens = 0;
};

void append(SlotTable& table, Model& model, uint32_t n, std::mt19937& random) {
  table.append(model.n_tokens, n);
  for (uint32_t i = 0; i < n; ++i) {
    const float value = static_cast<float>(random() % 1000);
    const uint32_t slot = table.size() - n + i;
    CHECK(table.score()[slot] == 0.0f);
    CHECK(table.state()[size_t{2} * slot + 1] == 0.0f);
    CHECK(table.flags()[slot] == 0);
    table.set_score()[slot] = value;
    table.state()[size_t{2} * slot + 1] = -value;
    model.slots.push_back({model.n_tokens, model.n_tokens, 0, value, -value});
    ++model.n_tokens;
  }
}

std::vector<uint32_t> random_keep(uint32_t n, uint32_t n_kept, std::mt19937& random) {
  std::vector<uint32_t> all(n);
  for (uint32_t i = 0; i < n; ++i) all[i] = i;
  std::shuffle(all.begin(), all.end(), random);
  all.resize(n_kept);
  std::sort(all.begin(), all.end());
  return all;
}

void check_moves(const Moves& moves, std::vector<Slot> before, const std::vector<Slot>& after) {
  std::vector<bool> written(before.size());
  for (const tenure_kv_move& move : moves) {
    CHECK(move.src > move.dst);
    CHECK_FALSE(written[move.src]);  // tenure_kv_moves: no src has been a dst
    written[move.dst] = true;
    before[move.dst] = before[move.src];
  }
  before.resize(after.size());
  CHECK(before == after);
}

void release(SlotTable& table, Model& model, const std::vector<uint32_t>& keep, bool compact) {
  const std::vector<Slot> before = model.slots;
  Moves moves;
  std::vector<int32_t> released = {-7};  // what was there stays
  if (!compact && keep.size() + 1 == before.size() &&
      before.size() % 2 == 0) {  // both ways to release one slot
    uint32_t left_out = 0;
    while (left_out < keep.size() && keep[left_out] == left_out) ++left_out;
    released.push_back(table.remove(left_out, moves));
  } else {
    table.apply(keep, compact, moves, released);
  }
  std::vector<int32_t> gone = {-7};
  std::vector<Slot> kept;
  for (uint32_t i = 0; i < before.size(); ++i) {
    if (std::binary_search(keep.begin(), keep.end(), i)) {
      kept.push_back(before[i]);
    } else {
      gone.push_back(before[i].pos);
    }
  }
  std::sort(released.begin(), released.end());
  std::sort(gone.begin(), gone.end());
  CHECK(released == gone);
  model.slots.clear();
  for (uint32_t i = 0; i < table.size(); ++i) {
    const auto it =
        std::find_if(kept.begin(), kept.end(), [&](const Slot& s) { return s.pos == table.pos()[i]; });
    REQUIRE(it != kept.end());
    model.slots.push_back(*it);
  }
  CHECK(model.slots.size() == kept.size());
  if (compact) CHECK(model.slots == kept);
  check_moves(moves, before, model.slots);
  if (!compact) CHECK(moves.size() <= before.size() - kept.size());
}

void check_equal(const SlotTable& table, const Model& model) {
  REQUIRE(table.size() == model.slots.size());
  uint32_t n_runs = 0;
  for (uint32_t i = 0; i < table.size(); ++i) {
    const Slot& slot = model.slots[i];
    REQUIRE(table.pos()[i] == slot.pos);
    REQUIRE(table.flags()[i] == slot.flags);
    REQUIRE(table.score()[i] == slot.score);
    REQUIRE(table.gap()[i] == slot.stored_rotation - rank_of(model.slots, slot.pos));
    n_runs += i == 0 || table.gap()[i] != table.gap()[i - 1] ? 1 : 0;
    REQUIRE(table.holds(slot.pos));
  }
  CHECK(table.n_gap_runs() == n_runs);
}

}  // namespace

TEST_CASE("slot table - random histories keep every slot's position, score, state and rank") {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    SlotTable table({.score = true, .rank = true, .state_floats = 2});
    Model model;
    for (int step = 0; step < 60; ++step) {
      const uint32_t what = random() % 8;
      if (what < 3 || table.size() < 4) {
        append(table, model, 1 + random() % 9, random);
      } else if (what < 6) {
        const uint32_t n_kept = what == 3 ? table.size() - 1 : random() % (table.size() + 1);
        release(table, model, random_keep(table.size(), n_kept, random), random() % 2 == 0);
      } else if (what == 6 && model.n_tokens > 0) {
        const int32_t first = static_cast<int32_t>(random()) % model.n_tokens;
        const int32_t from = first < 0 ? -first : first;
        const uint32_t n = std::min<uint32_t>(1 + random() % 5, static_cast<uint32_t>(model.n_tokens - from));
        std::vector<uint8_t> mask(n, 9);
        uint32_t n_made = 0;
        const uint32_t made = table.append_rebuilt(from, n, mask);
        for (uint32_t i = 0; i < n; ++i) {
          const int32_t pos = from + static_cast<int32_t>(i);
          const bool held = std::any_of(model.slots.begin(), model.slots.end(),
                                        [&](const Slot& s) { return s.pos == pos; });
          REQUIRE(mask[i] == (held ? 0 : 1));
          if (held) continue;
          model.slots.push_back({pos, pos, TENURE_SLOT_REBUILT, 0, 0});
          ++n_made;
        }
        CHECK(made == n_made);
      } else {
        table.clear_gaps();
        for (Slot& slot : model.slots) slot.stored_rotation = rank_of(model.slots, slot.pos);
      }
      check_equal(table, model);
    }
  }
}

// What the positions alone say, besides REBUILT.
uint8_t flags_by_position(const SlotTable& table, uint32_t slot, const ProtectedPositions& is_protected) {
  const int32_t pos = table.pos()[slot];
  int flags = table.flags()[slot] & TENURE_SLOT_REBUILT;
  if (pos < is_protected.sink) flags |= TENURE_SLOT_SINK;
  if (pos >= is_protected.recent) flags |= TENURE_SLOT_RECENT;
  if (pos >= is_protected.stabilizer) flags |= TENURE_SLOT_STABILIZER;
  if (pos >= is_protected.local) flags |= TENURE_SLOT_LOCAL;
  return static_cast<uint8_t>(flags);
}

TEST_CASE("slot table - marks follow the positions through any history of steps, releases and rebuilds") {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    SlotTable table({.score = true, .rank = false, .state_floats = 1});
    const int32_t n_recent = static_cast<int32_t>(random() % 40);
    const int32_t n_stabilizers = static_cast<int32_t>(random() % 3) * 5;
    const int32_t n_sink = static_cast<int32_t>(random() % 5);
    int32_t n_tokens = 0;
    Moves moves;
    std::vector<int32_t> released;
    for (int step = 0; step < 150; ++step) {
      const uint32_t what = random() % 24;
      const uint32_t n_new = what == 0 ? 1 + random() % 50 : random() % 3 == 0 ? 2 : 1;  // a chunk now and then
      table.append(n_tokens, n_new);
      n_tokens += static_cast<int32_t>(n_new);
      if (what == 1) {
        std::vector<uint8_t> mask(3);
        table.append_rebuilt(std::max(0, n_tokens - 1 - static_cast<int32_t>(random() % 60)), 3, mask);
        n_tokens = std::max(n_tokens, *std::max_element(table.pos().begin(), table.pos().end()) + 1);
      }
      const bool prompt_end = what == 2;
      if (what == 3 && table.size() > 2) table.remove(random() % table.size(), moves);  // before the marks
      const ProtectedPositions now{.sink = n_sink,
                                   .recent = n_tokens - n_recent,
                                   .stabilizer = prompt_end ? n_tokens : n_tokens - n_stabilizers,
                                   .local = prompt_end ? n_tokens - 6 : n_tokens};
      table.mark(now);
      for (uint32_t slot = 0; slot < table.size(); ++slot) REQUIRE(table.flags()[slot] == flags_by_position(table, slot, now));
      if (what < 5) {
        table.apply(random_keep(table.size(), random() % (table.size() + 1), random), what % 2 == 0, moves, released);
      } else {
        while (table.size() > 60) table.remove(random() % table.size(), moves);
      }
    }
  }
}

TEST_CASE("slot table - runs cover the slots in order with the shift of their gap") {
  SlotTable table({.score = false, .rank = true, .state_floats = 0});
  table.append(0, 6);
  std::vector<tenure_kv_run> runs;
  table.runs_for(0, runs);
  CHECK(runs.empty());  // nothing released: one run of shift 0, which is said by none
  Moves moves;
  std::vector<int32_t> released;
  table.apply(std::vector<uint32_t>{0, 1, 4, 5}, true, moves, released);  // 2 and 3 go
  table.append(6, 1);
  table.runs_for(table.gap()[4], runs);
  REQUIRE(runs.size() == 2);
  CHECK(runs[0].n_slots == 2);
  CHECK(runs[0].shift == 2);  // the sinks seem two nearer
  CHECK(runs[1].n_slots == 3);
  CHECK(runs[1].shift == 0);
}

TEST_CASE("slot table - a hole takes the last slot, one move each") {
  SlotTable table({.score = false, .rank = false, .state_floats = 0});
  table.append(0, 5);
  Moves moves;
  std::vector<int32_t> released;
  table.apply(std::vector<uint32_t>{0, 2, 3, 4}, false, moves, released);
  REQUIRE(moves.size() == 1);
  CHECK(moves[0].src == 4);
  CHECK(moves[0].dst == 1);
  CHECK(std::vector(table.pos().begin(), table.pos().end()) == std::vector<int32_t>{0, 4, 2, 3});
  CHECK(released == std::vector<int32_t>{1});
}

}  // namespace tenure::test
