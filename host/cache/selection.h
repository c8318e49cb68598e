// From scores to kept sets: protections, budget, scope, top-k. Pure functions; ties stay with the lower position.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cache/kv_cache.h"

namespace tenure {

// Slots a decision may not release, counted inside the budget.
struct Protection {
  uint32_t n_sink = 0;         // first positions of the sequence
  uint32_t n_recent = 0;       // last positions
  uint32_t n_stabilizers = 0;  // last positions, except at the end of a prompt
  uint32_t n_local = 0;        // last positions, at the end of a prompt only
};

// Where the protections exceed the budget it becomes at least n_sink + 1, and recent, stabilizers and local shrink to
// leave one slot free for a choice.
uint32_t fit_budget(uint32_t budget, Protection& protection);

// Sets the SINK, RECENT, STABILIZER and LOCAL flags of every slot anew; REBUILT stays. n_tokens: fed so far.
void mark_protected(SlotTable& table, const Protection& protection, uint32_t n_tokens, bool prompt_end);

// The free slot that goes first: the lowest score, of equal ones the highest position. table.size() when none is free.
uint32_t find_worst(const SlotTable& table);

class Selection {
 public:
  // Equal lengths: the table keeps `budget` slots (fewer if it has fewer), besides rebuilt ones.
  void keep_best(const SlotTable& table, uint32_t budget, KeptSlots& keep);
  // One ranking over all tables: together they keep `total` slots, each at least `floor` of its best and at most `ceiling`,
  // besides rebuilt ones.
  void keep_pooled(std::span<const SlotTable* const> tables, uint64_t total, uint32_t floor, uint32_t ceiling, std::span<KeptSlots> keep);

 private:
  struct Candidate {
    float score;
    int32_t pos;
    uint32_t table;
    uint32_t slot;
  };
  static bool stays_before(const Candidate& a, const Candidate& b);

  std::vector<Candidate> candidates_;  // of one table
  std::vector<Candidate> pool_;        // of all tables, between their floors and their ceiling
};

}  // namespace tenure
