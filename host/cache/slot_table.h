// Side arrays of the slots that one kept set shares: one (layer, KV head), all heads of a layer, or the whole cache, as
// the policy's granularity says. What is in a slot is the backend's; what is known about it is here.
#pragma once

#include <tenure/backend.h>
#include <tenure/policy.h>

#include <cstdint>
#include <span>
#include <vector>

#include "cache/recent_slots.h"

namespace tenure {

// Which side arrays a policy made necessary; the others stay empty.
struct SlotArrays {
  bool score = false;
  bool rank = false;  // positions = rank: `gap` is kept
  uint32_t state_floats = 0;
};

// Positions that the host protects: those below `sink`, and from each of the others on.
struct ProtectedPositions {
  int32_t sink = 0;
  int32_t recent = 0;
  int32_t stabilizer = 0;
  int32_t local = 0;

  uint8_t flags_of(int32_t pos) const {
    return static_cast<uint8_t>((pos < sink ? TENURE_SLOT_SINK : 0) | (pos >= recent ? TENURE_SLOT_RECENT : 0) |
                                (pos >= stabilizer ? TENURE_SLOT_STABILIZER : 0) | (pos >= local ? TENURE_SLOT_LOCAL : 0));
  }
};

// Moves that bring a table to a kept set. In place; see tenure_kv_moves for the order.
using Moves = std::vector<tenure_kv_move>;

class SlotTable {
 public:
  explicit SlotTable(SlotArrays arrays) : arrays_(arrays) {}

  uint32_t size() const { return static_cast<uint32_t>(pos_.size()); }
  std::span<const int32_t> pos() const { return pos_; }
  std::span<const uint8_t> flags() const { return flags_; }
  std::span<uint8_t> flags() { return flags_; }
  // What ranks the slots: what set_score() was last given, or the state.
  std::span<const float> score() const { return scored_by_state_ ? state_ : score_; }
  std::span<float> set_score() {
    is_scored_ = true;
    scored_by_state_ = false;
    return score_;
  }
  void score_by_state() { is_scored_ = scored_by_state_ = true; }  // one float a slot
  bool is_scored() const { return is_scored_; }                    // ever: without a verdict all stay
  // Slots to keep as the last score said for this table alone; UINT32_MAX where it said nothing.
  uint32_t own_budget() const { return own_budget_; }
  void set_own_budget(uint32_t n_slots) { own_budget_ = n_slots; }
  std::span<float> state() { return state_; }  // (n_slots, state_floats)
  uint32_t state_floats() const { return arrays_.state_floats; }

  // Rank mode only. The query of a row at p turns by p - shift against a slot, shift = gap(row) - gap(slot), where
  // gap = stored rotation - rank: the positions released before it, until keys are re-rotated. (n_slots)
  std::span<const int32_t> gap() const { return gap_; }
  bool tracks_rank() const { return arrays_.rank; }

  void reserve(uint32_t n_slots);
  // n consecutive positions as new slots at the end; they are the newest of the sequence.
  void append(int32_t first_pos, uint32_t n);
  // Positions of [first_pos, first_pos + n) that the table does not hold become REBUILT slots at the end.
  // write_mask (n): 1 where a slot was made. Returns how many.
  uint32_t append_rebuilt(int32_t first_pos, uint32_t n, std::span<uint8_t> write_mask);
  bool holds(int32_t pos) const;

  // Every slot's flags are those of its position, and REBUILT where it was. From one decode step to the next only the new
  // slots and those that left a range are looked at.
  void mark(const ProtectedPositions& now);

  // `keep` ascending, unique, in range. compact: survivors keep their order (bulk). Otherwise the last slot moves into
  // each hole (decode: one move a released slot). Positions that went are appended to `released`.
  void apply(std::span<const uint32_t> keep, bool compact, Moves& moves, std::vector<int32_t>& released);

  // As apply without compaction for all slots but one. Returns its position.
  int32_t remove(uint32_t slot, Moves& moves);

  // The first n slots go. For tables without rank, scores and state.
  void drop_front(uint32_t n);

  // Slots in order as runs of equal shift for rows whose gap is row_gap; empty when every shift is 0.
  void runs_for(int32_t row_gap, std::vector<tenure_kv_run>& runs) const;
  // Runs of equal gap in slot order: what attention pays for.
  uint32_t n_gap_runs() const;
  // After the backend turned slot i by delta[i] = -gap[i]: stored rotation = rank everywhere.
  void clear_gaps() { gap_.assign(gap_.size(), 0); }

 private:
  void move_slot(uint32_t src, uint32_t dst);
  void truncate(uint32_t n_slots);
  void close_gaps(std::span<int32_t> released);
  void mark_all(const ProtectedPositions& now);
  bool can_follow(const ProtectedPositions& now) const;

  SlotArrays arrays_;
  bool is_scored_ = false;
  bool scored_by_state_ = false;
  uint32_t own_budget_ = UINT32_MAX;
  std::vector<int32_t> pos_;
  std::vector<uint8_t> flags_;
  std::vector<float> score_;
  std::vector<float> state_;
  std::vector<int32_t> gap_;
  // Slots [0, n_marked_) have the flags of marked_; recent_ knows where the positions are that will leave its ranges.
  ProtectedPositions marked_;
  uint32_t n_marked_ = 0;
  RecentSlots recent_;
};

}  // namespace tenure
