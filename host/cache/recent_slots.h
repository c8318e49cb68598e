// Which slots hold the newest positions of a table. Slots are not in the order of positions once decode has released some,
// and looking for one among a thousand, in every table at every step, was a quarter of a decision.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tenure {

class RecentSlots {
 public:
  static constexpr uint32_t none = UINT32_MAX;

  // Forgets everything; from now on covers the last n positions that were put, or a few more.
  void reset(uint32_t n) { slots_.assign(std::bit_ceil(n), none); }
  bool covers(int32_t pos) const { return int64_t{pos} + static_cast<int64_t>(slots_.size()) > newest_; }

  // Positions come in any order; what is not covered is not kept.
  void put(int32_t pos, uint32_t slot) {
    if (slots_.empty()) return;
    const int64_t oldest = pos - static_cast<int64_t>(slots_.size());
    for (int64_t skipped = std::max(newest_ + 1, oldest); skipped < pos; ++skipped) entry(skipped) = none;
    newest_ = std::max<int64_t>(newest_, pos);
    if (covers(pos)) entry(pos) = slot;
  }
  void forget(int32_t pos) {
    if (!slots_.empty() && covers(pos)) entry(pos) = none;
  }
  // Of a covered position; none when it is not held.
  uint32_t at(int32_t pos) const { return pos > newest_ ? none : slots_[index(pos)]; }

 private:
  size_t index(int64_t pos) const { return static_cast<size_t>(pos) & (slots_.size() - 1); }
  uint32_t& entry(int64_t pos) { return slots_[index(pos)]; }

  std::vector<uint32_t> slots_;  // by position, modulo its size
  int64_t newest_ = -1;
};

}  // namespace tenure
