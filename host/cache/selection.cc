#include "cache/selection.h"

#include <algorithm>
#include <bit>

namespace tenure {

uint32_t fit_budget(uint32_t budget, Protection& protection) {
  budget = std::max(budget, protection.n_sink + 1);
  const uint32_t room = budget - protection.n_sink - 1;
  protection.n_recent = std::min(protection.n_recent, room);
  protection.n_stabilizers = std::min(protection.n_stabilizers, room);
  protection.n_local = std::min(protection.n_local, room);
  return budget;
}

void mark_protected(SlotTable& table, const Protection& protection, uint32_t n_tokens, bool prompt_end) {
  const auto position = [](int64_t p) { return static_cast<int32_t>(std::clamp<int64_t>(p, INT32_MIN, INT32_MAX)); };
  const int64_t end = n_tokens;
  const int32_t sink = position(protection.n_sink);
  const int32_t recent = position(end - protection.n_recent);
  const int32_t stabilizer = position(prompt_end ? end : end - protection.n_stabilizers);
  const int32_t local = position(prompt_end ? end - protection.n_local : end);
  const uint32_t n = table.size();
  const int32_t* __restrict pos = table.pos().data();
  uint8_t* __restrict flags = table.flags().data();
  // Without branches, so that it vectorises: it passes over every slot at every step.
  for (uint32_t slot = 0; slot < n; ++slot) {
    const int32_t p = pos[slot];
    const int32_t flag = (p < sink ? TENURE_SLOT_SINK : 0) | (p >= recent ? TENURE_SLOT_RECENT : 0) |
                         (p >= stabilizer ? TENURE_SLOT_STABILIZER : 0) | (p >= local ? TENURE_SLOT_LOCAL : 0);
    flags[slot] = static_cast<uint8_t>((flags[slot] & TENURE_SLOT_REBUILT) | flag);
  }
}

bool Selection::stays_before(const Candidate& a, const Candidate& b) {
  if (a.score != b.score) return a.score > b.score;
  if (a.pos != b.pos) return a.pos < b.pos;
  return a.table < b.table;
}

namespace {

// Floats in the order of their values, as integers: minima of these vectorise.
int32_t ordered(float score) {
  const auto bits = std::bit_cast<int32_t>(score + 0.0f);  // -0 is 0
  return bits ^ ((bits >> 31) & INT32_MAX);
}

}  // namespace

uint32_t find_worst(const SlotTable& table) {
  const int32_t* pos = table.pos().data();
  const uint8_t* flags = table.flags().data();
  const float* score = table.score().data();
  const uint32_t n = table.size();
  int32_t lowest = INT32_MAX;  // of the free slots; no finite score is that high
  for (uint32_t slot = 0; slot < n; ++slot) {
    // Without branches, so that it vectorises: a protected slot's score becomes the highest.
    const int32_t is_protected = -static_cast<int32_t>(flags[slot] != 0);
    lowest = std::min(lowest, (ordered(score[slot]) & ~is_protected) | (INT32_MAX & is_protected));
  }
  uint32_t worst = n;
  constexpr uint32_t block = 64;
  for (uint32_t first = 0; first < n; first += block) {
    const uint32_t last = std::min(first + block, n);
    uint32_t n_equal = 0;
    for (uint32_t slot = first; slot < last; ++slot) n_equal += ordered(score[slot]) == lowest ? 1 : 0;
    for (uint32_t slot = first; slot < last && n_equal > 0; ++slot) {
      if (ordered(score[slot]) != lowest || flags[slot] != 0) continue;
      if (worst == n || pos[slot] > pos[worst]) worst = slot;
    }
  }
  return worst;
}

void Selection::keep_best(const SlotTable& table, uint32_t budget, KeptSlots& keep) {
  keep.clear();
  const auto pos = table.pos();
  const auto flags = table.flags();
  const auto score = table.score();
  uint32_t n_protected = 0;
  uint32_t n_free = 0;
  for (uint8_t flag : flags) {
    if ((flag & TENURE_SLOT_REBUILT) != 0) continue;
    (flag != 0 ? n_protected : n_free) += 1;
  }
  const uint32_t n_chosen = budget > n_protected ? std::min(budget - n_protected, n_free) : 0;
  candidates_.clear();
  for (uint32_t slot = 0; slot < table.size(); ++slot) {
    if (flags[slot] != 0) {
      keep.push_back(slot);
    } else {
      candidates_.push_back({.score = score[slot], .pos = pos[slot], .table = 0, .slot = slot});
    }
  }
  std::nth_element(candidates_.begin(), candidates_.begin() + n_chosen, candidates_.end(), stays_before);
  for (uint32_t i = 0; i < n_chosen; ++i) keep.push_back(candidates_[i].slot);
  std::sort(keep.begin(), keep.end());
}

void Selection::keep_pooled(std::span<const SlotTable* const> tables, uint64_t total, uint32_t floor,
                            std::span<KeptSlots> keep) {
  pool_.clear();
  uint64_t n_kept = 0;
  for (uint32_t index = 0; index < tables.size(); ++index) {
    const SlotTable& table = *tables[index];
    keep[index].clear();
    candidates_.clear();
    uint32_t n_protected = 0;
    for (uint32_t slot = 0; slot < table.size(); ++slot) {
      const uint8_t flag = table.flags()[slot];
      if (flag != 0) {
        keep[index].push_back(slot);
        n_protected += (flag & TENURE_SLOT_REBUILT) != 0 ? 0 : 1;
      } else {
        candidates_.push_back({table.score()[slot], table.pos()[slot], index, slot});
      }
    }
    const size_t n_floor = floor > n_protected ? std::min<size_t>(floor - n_protected, candidates_.size()) : 0;
    std::nth_element(candidates_.begin(), candidates_.begin() + static_cast<ptrdiff_t>(n_floor), candidates_.end(),
                     stays_before);
    for (size_t i = 0; i < n_floor; ++i) keep[index].push_back(candidates_[i].slot);
    pool_.insert(pool_.end(), candidates_.begin() + static_cast<ptrdiff_t>(n_floor), candidates_.end());
    n_kept += n_protected + n_floor;
  }
  const size_t n_chosen = total > n_kept ? std::min<size_t>(total - n_kept, pool_.size()) : 0;
  std::nth_element(pool_.begin(), pool_.begin() + static_cast<ptrdiff_t>(n_chosen), pool_.end(), stays_before);
  for (size_t i = 0; i < n_chosen; ++i) keep[pool_[i].table].push_back(pool_[i].slot);
  for (KeptSlots& slots : keep) std::sort(slots.begin(), slots.end());
}

}  // namespace tenure
