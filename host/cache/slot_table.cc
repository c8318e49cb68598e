#include "cache/slot_table.h"

#include <algorithm>

namespace tenure {
namespace {

// A decode step's protections are its predecessor's, moved by one position, or by a few where steps were left out.
constexpr int32_t max_followed = 16;

}  // namespace

void SlotTable::reserve(uint32_t n_slots) {
  pos_.reserve(n_slots);
  flags_.reserve(n_slots);
  if (arrays_.score) score_.reserve(n_slots);
  if (arrays_.rank) gap_.reserve(n_slots);
  state_.reserve(size_t{n_slots} * arrays_.state_floats);
}

void SlotTable::append(int32_t first_pos, uint32_t n) {
  const uint32_t n_old = size();
  for (uint32_t i = 0; i < n; ++i) {
    pos_.push_back(first_pos + static_cast<int32_t>(i));
    recent_.put(pos_.back(), n_old + i);
  }
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
    recent_.put(pos, size());
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
  n_marked_ = 0;
  recent_ = {};
  pos_.erase(pos_.begin(), pos_.begin() + n);
  flags_.erase(flags_.begin(), flags_.begin() + n);
}

void SlotTable::mark(const ProtectedPositions& now) {
  if (!can_follow(now)) return mark_all(now);
  const auto mark_one = [&](uint32_t slot, int32_t pos) {
    flags_[slot] = static_cast<uint8_t>((flags_[slot] & TENURE_SLOT_REBUILT) | now.flags_of(pos));
  };
  for (uint32_t slot = n_marked_; slot < size(); ++slot) mark_one(slot, pos_[slot]);
  const auto leave = [&](int32_t from, int32_t to) {
    for (int32_t pos = std::max(from, 0); pos < to; ++pos) {
      const uint32_t slot = recent_.at(pos);
      if (slot < n_marked_) mark_one(slot, pos);
    }
  };
  leave(marked_.recent, now.recent);
  leave(marked_.stabilizer, now.stabilizer);
  leave(marked_.local, now.local);
  marked_ = now;
  n_marked_ = size();
}

bool SlotTable::can_follow(const ProtectedPositions& now) const {
  const auto is_next = [&](int32_t before, int32_t after) {
    return after >= before && after - before <= max_followed && recent_.covers(before);
  };
  return n_marked_ > 0 && now.sink == marked_.sink && is_next(marked_.recent, now.recent) &&
         is_next(marked_.stabilizer, now.stabilizer) && is_next(marked_.local, now.local);
}

void SlotTable::mark_all(const ProtectedPositions& now) {
  const uint32_t n = size();
  const int32_t* __restrict pos = pos_.data();
  uint8_t* __restrict flags = flags_.data();
  // Without branches, so that it vectorises.
  for (uint32_t slot = 0; slot < n; ++slot) {
    flags[slot] = static_cast<uint8_t>((flags[slot] & TENURE_SLOT_REBUILT) | now.flags_of(pos[slot]));
  }
  marked_ = now;
  n_marked_ = n;
  // Of one size for one set of protections, whatever is held: so it is allocated once.
  const int32_t end = std::max({now.recent, now.stabilizer, now.local, n > 0 ? *std::max_element(pos, pos + n) + 1 : 0});
  const int32_t first = std::min({now.recent, now.stabilizer, now.local, end});
  recent_.reset(static_cast<uint32_t>(end - std::max(first, 0) + max_followed));
  for (uint32_t slot = 0; slot < n; ++slot) {
    if (pos[slot] >= first) recent_.put(pos[slot], slot);
  }
}

void SlotTable::move_slot(uint32_t src, uint32_t dst) {
  if (src >= n_marked_ && dst < n_marked_) n_marked_ = 0;
  recent_.put(pos_[src], dst);
  pos_[dst] = pos_[src];
  flags_[dst] = flags_[src];
  if (arrays_.score) score_[dst] = score_[src];
  if (arrays_.rank) gap_[dst] = gap_[src];
  const size_t width = arrays_.state_floats;
  std::copy_n(state_.begin() + static_cast<ptrdiff_t>(src * width), width, state_.begin() + static_cast<ptrdiff_t>(dst * width));
}

void SlotTable::truncate(uint32_t n_slots) {
  n_marked_ = std::min(n_marked_, n_slots);
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
      recent_.forget(pos_[slot]);
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
  recent_.forget(released);
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
