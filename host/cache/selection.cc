#include "cache/selection.h"

#include <tenure/wide.h>

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
  table.mark({.sink = position(protection.n_sink),
              .recent = position(end - protection.n_recent),
              .stabilizer = position(prompt_end ? end : end - protection.n_stabilizers),
              .local = position(prompt_end ? end - protection.n_local : end)});
}

bool Selection::stays_before(const Candidate& a, const Candidate& b) {
  if (a.score != b.score) return a.score > b.score;
  if (a.pos != b.pos) return a.pos < b.pos;
  return a.table < b.table;
}

namespace {

constexpr uint32_t block_slots = 128;
constexpr int32_t no_score = INT32_MAX;  // no finite score is that high

// Floats in the order of their values, as integers: minima of these vectorise.
int32_t ordered(float score) {
  const auto bits = std::bit_cast<int32_t>(score + 0.0f);  // -0 is 0
  return bits ^ ((bits >> 31) & INT32_MAX);
}

// Of the free slots.
TENURE_WIDE int32_t lowest_of(const float* __restrict score, const uint8_t* __restrict flags, uint32_t n) {
  int32_t lowest = no_score;
  for (uint32_t slot = 0; slot < n; ++slot) {
    // Without branches, so that it vectorises: it passes over every slot at every step.
    const int32_t is_protected = -static_cast<int32_t>(flags[slot] != 0);
    lowest = std::min(lowest, (ordered(score[slot]) & ~is_protected) | (no_score & is_protected));
  }
  return lowest;
}

}  // namespace

uint32_t find_worst(const SlotTable& table) {
  const int32_t* pos = table.pos().data();
  const uint8_t* flags = table.flags().data();
  const float* score = table.score().data();
  const uint32_t n = table.size();
  int32_t lowest = no_score;
  uint32_t begin = n;  // of the first block with that score
  uint32_t end = n;    // of the last one
  for (uint32_t first = 0; first < n; first += block_slots) {
    const uint32_t n_slots = std::min(block_slots, n - first);
    const int32_t of_block = lowest_of(score + first, flags + first, n_slots);
    if (of_block > lowest || of_block == no_score) continue;
    if (of_block < lowest) begin = first;
    lowest = of_block;
    end = first + n_slots;
  }
  uint32_t worst = n;
  for (uint32_t slot = begin; slot < end; ++slot) {
    if (ordered(score[slot]) != lowest || flags[slot] != 0) continue;
    if (worst == n || pos[slot] > pos[worst]) worst = slot;
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
  if (n_chosen == 0) return;
  // The last to stay splits them; another pass finds the rest in the order of slots, which costs less than sorting.
  std::nth_element(candidates_.begin(), candidates_.begin() + n_chosen - 1, candidates_.end(), stays_before);
  const Candidate last = candidates_[n_chosen - 1];
  keep.clear();
  for (uint32_t slot = 0; slot < table.size(); ++slot) {
    const bool stays = flags[slot] != 0 || !stays_before(last, {.score = score[slot], .pos = pos[slot], .table = 0, .slot = slot});
    if (stays) keep.push_back(slot);
  }
}

void Selection::keep_pooled(std::span<const SlotTable* const> tables, uint64_t total, uint32_t floor, uint32_t ceiling,
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
    // Those that it may keep at all come first, and first of them those that it keeps anyway.
    const size_t n_most = ceiling > n_protected ? std::min<size_t>(ceiling - n_protected, candidates_.size()) : 0;
    const size_t n_floor = floor > n_protected ? std::min<size_t>(floor - n_protected, n_most) : 0;
    std::nth_element(candidates_.begin(), candidates_.begin() + static_cast<ptrdiff_t>(n_most), candidates_.end(), stays_before);
    candidates_.resize(n_most);
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
