// The KeepSet a policy speaks into, for one sequence and one decision: checks every verb, keeps the verdict.
#pragma once

#include <tenure/policy.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cache/kv_cache.h"

namespace tenure {

struct PositionSpan {
  int32_t first = 0;
  uint32_t n = 0;
};

class KeepSetBuilder {
 public:
  explicit KeepSetBuilder(KvCache& cache);
  KeepSetBuilder(const KeepSetBuilder&) = delete;
  KeepSetBuilder& operator=(const KeepSetBuilder&) = delete;

  tenure_keepset* abi() { return &abi_; }

  // Opens the verbs for tables [first, first + n) of a call on `layer`. budget: slots these tables may keep together,
  // besides rebuilt ones.
  void open_selection(uint32_t layer, uint32_t first, uint32_t n, uint64_t budget);
  // In observe: score only.
  void open_scoring(uint32_t layer, uint32_t first, uint32_t n, uint64_t budget);
  // In prepare: rebuild only. released (n_tokens): 1 where a position may be rebuilt.
  void open_rebuild(std::span<const uint8_t> released, uint32_t max_rows);
  void close() { open_ = Verbs::none; }

  bool has_scored() const { return scored_; }  // ever: a policy without a verdict keeps all
  bool has_kept() const { return kept_; }      // since open_selection
  std::span<const KeptSlots> kept() const { return {keep_.data(), n_tables_}; }
  // The table's own budget if the last score gave one, else UINT32_MAX.
  uint32_t n_keep(uint32_t table) const { return n_keep_[table]; }
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
  void open(Verbs verbs, uint32_t layer, uint32_t first, uint32_t n, uint64_t budget);
  tenure_status refuse(tenure_status code, std::string text, tenure_error* error);
  tenure_status take_scores(const float* const* scores, const uint32_t* n_keep, tenure_error* error);
  tenure_status take_kept(const uint32_t* offsets, const uint32_t* slots, tenure_error* error);
  std::string check_kept(const SlotTable& table, std::span<const uint32_t> slots) const;

  KvCache& cache_;
  tenure_keepset abi_;
  Verbs open_ = Verbs::none;
  uint32_t layer_ = 0;
  uint32_t first_table_ = 0;
  uint32_t n_tables_ = 0;
  uint64_t budget_ = 0;
  bool scored_ = false;
  bool kept_ = false;
  std::vector<KeptSlots> keep_;   // (n_tables_) the first n_tables_ are in use
  std::vector<uint32_t> n_keep_;  // (cache's tables)
  std::span<const uint8_t> released_;
  uint32_t max_rebuild_rows_ = 0;
  uint32_t n_rebuild_rows_ = 0;
  std::vector<PositionSpan> rebuilds_;
  std::string violation_;
};

}  // namespace tenure
