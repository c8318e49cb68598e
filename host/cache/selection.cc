#include "cache/selection.h"

#include <algorithm>

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
  const int64_t end = n_tokens;
  const int64_t recent = end - protection.n_recent;
  const int64_t stabilizer = prompt_end ? end : end - protection.n_stabilizers;
  const int64_t local = prompt_end ? end - protection.n_local : end;
  const std::span<const int32_t> pos = table.pos();
  const std::span<uint8_t> flags = table.flags();
  for (size_t slot = 0; slot < pos.size(); ++slot) {
    unsigned flag = flags[slot] & TENURE_SLOT_REBUILT;
    if (pos[slot] < static_cast<int64_t>(protection.n_sink)) flag |= TENURE_SLOT_SINK;
    if (pos[slot] >= recent) flag |= TENURE_SLOT_RECENT;
    if (pos[slot] >= stabilizer) flag |= TENURE_SLOT_STABILIZER;
    if (pos[slot] >= local) flag |= TENURE_SLOT_LOCAL;
    flags[slot] = static_cast<uint8_t>(flag);
  }
}

bool Selection::stays_before(const Candidate& a, const Candidate& b) {
  if (a.score != b.score) return a.score > b.score;
  if (a.pos != b.pos) return a.pos < b.pos;
  return a.table < b.table;
}

// A decode step releases one slot of many: one pass instead of a partial sort.
void Selection::keep_all_but_worst(const SlotTable& table, KeptSlots& keep) const {
  const auto pos = table.pos();
  const auto flags = table.flags();
  const auto score = table.score();
  uint32_t worst = table.size();
  for (uint32_t slot = 0; slot < table.size(); ++slot) {
    if (flags[slot] != 0) continue;
    if (worst == table.size() || score[slot] < score[worst] ||
        (score[slot] == score[worst] && pos[slot] > pos[worst])) {
      worst = slot;
    }
  }
  for (uint32_t slot = 0; slot < table.size(); ++slot) {
    if (slot != worst) keep.push_back(slot);
  }
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
  if (n_free - n_chosen == 1) return keep_all_but_worst(table, keep);
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
