// The KeepSet a policy speaks into, for one sequence and one call: checks every verb, keeps the verdict. One thread at a time.
#pragma once

#include <tenure/policy.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cache/kv_cache.h"
#include "plugin/status.h"

namespace tenure {

// What a call is about: tables [first, first + n) of a cache, which may keep `budget` slots together, besides rebuilt ones.
struct DecidedTables {
  KvCache* cache = nullptr;
  uint32_t layer = 0;  // as in the call
  uint32_t first = 0;
  uint32_t n = 0;
  uint64_t budget = 0;

  SlotTable& operator[](uint32_t i) const { return cache->table(first + i); }
};

struct PositionSpan {
  int32_t first = 0;
  uint32_t n = 0;
};

class KeepSetBuilder {
 public:
  KeepSetBuilder();
  KeepSetBuilder(const KeepSetBuilder&) = delete;
  KeepSetBuilder& operator=(const KeepSetBuilder&) = delete;

  tenure_keepset* abi() { return &abi_; }

  // Opens the verbs. Scores go into the tables at once.
  void open_selection(const DecidedTables& tables);
  // In observe: score only.
  void open_scoring(const DecidedTables& tables);
  // In prepare: rebuild only. released (n_tokens): 1 where a position may be rebuilt.
  void open_rebuild(std::span<const uint8_t> released, uint32_t max_rows);
  // Closes the verbs. What went wrong in the call of plugin `id`'s `hook` (".observe"): a broken rule, the whole call's failure,
  // or the policy's own answer for this sequence.
  Status close(const std::string& id, const char* hook, const Status& call, tenure_status own);

  bool has_kept() const { return kept_; }  // since open_selection
  std::span<const KeptSlots> kept() const { return {keep_.data(), tables_.n}; }
  std::span<const PositionSpan> rebuilds() const { return rebuilds_; }
  // The first broken rule since the last open_*; empty when there was none.
  const std::string& violation() const { return violation_; }

 private:
  enum class Verbs : uint8_t { none, scoring, selection, rebuild };

  static tenure_status score(tenure_keepset*, uint32_t layer, const float* const* scores, const uint32_t* n_keep,
                             tenure_error*);
  static tenure_status keep(tenure_keepset*, uint32_t layer, const uint32_t* offsets, const uint32_t* slots,
                            tenure_error*);
  static tenure_status rebuild(tenure_keepset*, int32_t first_pos, uint32_t n, tenure_error*);
  void open(Verbs verbs, const DecidedTables& tables);
  tenure_status refuse(tenure_status code, std::string text, tenure_error* error);
  tenure_status take_scores(const float* const* scores, const uint32_t* n_keep, tenure_error* error);
  tenure_status take_kept(const uint32_t* offsets, const uint32_t* slots, tenure_error* error);
  std::string check_kept(const SlotTable& table, std::span<const uint32_t> slots) const;

  tenure_keepset abi_;
  Verbs open_ = Verbs::none;
  DecidedTables tables_;
  bool kept_ = false;
  std::vector<KeptSlots> keep_;  // the first tables_.n are in use
  std::span<const uint8_t> released_;
  uint32_t max_rebuild_rows_ = 0;
  uint32_t n_rebuild_rows_ = 0;
  std::vector<PositionSpan> rebuilds_;
  std::string violation_;
};

}  // namespace tenure
