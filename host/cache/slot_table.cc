#include "cache/slot_table.h"

#include <algorithm>

namespace tenure {

void SlotTable::reserve(uint32_t n_slots) {
  pos_.reserve(n_slots);
  flags_.reserve(n_slots);
  if (arrays_.score) score_.reserve(n_slots);
  if (arrays_.rank) gap_.reserve(n_slots);
  state_.reserve(size_t{n_slots} * arrays_.state_floats);
}

void SlotTable::append(int32_t first_pos, uint32_t n) {
  const uint32_t n_old = size();
  for (uint32_t i = 0; i < n; ++i) pos_.push_back(first_pos + static_cast<int32_t>(i));
  flags_.resize(n_old + n, 0);
  if (arrays_.score) score_.resize(n_old + n, 0.0f);
  state_.resize(size_t{n_old + n} * arrays_.state_floats, 0.0f);
  // Every held position is older, so the rank of a new one is its slot index.
  if (arrays_.rank) gap_.resize(n_old + n, first_pos - static_cast<int32_t>(n_old));
}

bool SlotTable::holds(int32_t pos) const { return std::find(pos_.begin(), pos_.end(), pos) != pos_.end(); }

uint32_t SlotTable::append_rebuilt(int32_t first_pos, uint32_t n, std::span<uint8_t> write_mask) {
  uint32_t n_made = 0;
  for (uint32_t i = 0; i < n; ++i) {
    const int32_t pos = first_pos + static_cast<int32_t>(i);
    write_mask[i] = holds(pos) ? 0 : 1;
    if (!write_mask[i]) continue;
    int32_t rank = 0;
    if (arrays_.rank) {
      for (uint32_t slot = 0; slot < size(); ++slot) {
        if (pos_[slot] < pos) ++rank;
        if (pos_[slot] > pos) --gap_[slot];  // its rank grows by one
      }
    }
    pos_.push_back(pos);
    flags_.push_back(TENURE_SLOT_REBUILT);
    if (arrays_.score) score_.push_back(0.0f);
    state_.resize(size_t{size()} * arrays_.state_floats, 0.0f);
    if (arrays_.rank) gap_.push_back(pos - rank);
    ++n_made;
  }
  return n_made;
}

void SlotTable::drop_front(uint32_t n) {
  pos_.erase(pos_.begin(), pos_.begin() + n);
  flags_.erase(flags_.begin(), flags_.begin() + n);
}

void SlotTable::move_slot(uint32_t src, uint32_t dst) {
  pos_[dst] = pos_[src];
  flags_[dst] = flags_[src];
  if (arrays_.score) score_[dst] = score_[src];
  if (arrays_.rank) gap_[dst] = gap_[src];
  const size_t width = arrays_.state_floats;
  std::copy_n(state_.begin() + static_cast<ptrdiff_t>(src * width), width, state_.begin() + static_cast<ptrdiff_t>(dst * width));
}

void SlotTable::truncate(uint32_t n_slots) {
  pos_.resize(n_slots);
  flags_.resize(n_slots);
  if (arrays_.score) score_.resize(n_slots);
  if (arrays_.rank) gap_.resize(n_slots);
  state_.resize(size_t{n_slots} * arrays_.state_floats);
}

// A slot's rank falls by the released positions before it, so its gap grows by as many. Leaves `released` sorted.
void SlotTable::close_gaps(std::span<int32_t> released) {
  if (released.size() == 1) {
    for (uint32_t slot = 0; slot < size(); ++slot) gap_[slot] += pos_[slot] > released[0] ? 1 : 0;
    return;
  }
  std::sort(released.begin(), released.end());
  for (uint32_t slot = 0; slot < size(); ++slot) {
    gap_[slot] += static_cast<int32_t>(std::lower_bound(released.begin(), released.end(), pos_[slot]) - released.begin());
  }
}

void SlotTable::apply(std::span<const uint32_t> keep, bool compact, Moves& moves, std::vector<int32_t>& released) {
  const uint32_t n_kept = static_cast<uint32_t>(keep.size());
  const size_t first_released = released.size();
  if (n_kept == size()) return;
  size_t next = 0;
  for (uint32_t slot = 0; slot < size(); ++slot) {
    if (next < keep.size() && keep[next] == slot) {
      ++next;
    } else {
      released.push_back(pos_[slot]);
    }
  }
  if (compact) {
    for (uint32_t dst = 0; dst < n_kept; ++dst) {
      if (keep[dst] == dst) continue;
      moves.push_back({.src = keep[dst], .dst = dst});
      move_slot(keep[dst], dst);
    }
  } else {
    // Holes below n_kept take the survivors above it, the last one first.
    size_t survivor = keep.size();
    size_t kept = 0;
    for (uint32_t slot = 0; slot < n_kept; ++slot) {
      if (keep[kept] == slot) {
        ++kept;
        continue;
      }
      --survivor;
      moves.push_back({.src = keep[survivor], .dst = slot});
      move_slot(keep[survivor], slot);
    }
  }
  truncate(n_kept);
  if (arrays_.rank) close_gaps(std::span(released).subspan(first_released));
}

int32_t SlotTable::remove(uint32_t slot, Moves& moves) {
  int32_t released = pos_[slot];
  const uint32_t last = size() - 1;
  if (slot != last) {
    moves.push_back({.src = last, .dst = slot});
    move_slot(last, slot);
  }
  truncate(last);
  if (arrays_.rank) close_gaps({&released, 1});
  return released;
}

void SlotTable::runs_for(int32_t row_gap, std::vector<tenure_kv_run>& runs) const {
  const size_t first = runs.size();
  for (uint32_t slot = 0; slot < size(); ++slot) {
    const int32_t shift = row_gap - gap_[slot];
    if (runs.size() == first || runs.back().shift != shift) runs.push_back({.n_slots = 0, .shift = shift});
    ++runs.back().n_slots;
  }
  if (runs.size() == first + 1 && runs.back().shift == 0) runs.pop_back();
}

uint32_t SlotTable::n_gap_runs() const {
  uint32_t n = size() > 0 ? 1 : 0;
  for (uint32_t slot = 1; slot < size(); ++slot) n += gap_[slot] != gap_[slot - 1] ? 1 : 0;
  return n;
}

}  // namespace tenure
