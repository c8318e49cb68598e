#include "engine/footprint.h"

#include <algorithm>

namespace tenure {
namespace {

// Heads of different lengths: the same slots in all, at most one more run a head.
uint64_t ragged_bytes(const KvConfig& kv, uint64_t mean_slots, uint64_t n_fed, bool ragged) {
  uint64_t bytes = dense_bytes(kv, mean_slots, n_fed);
  for (size_t layer = 0; ragged && layer < kv.pools.size(); ++layer) bytes += kv.n_kv_heads[layer] * kv.pools[layer]->run_bytes();
  return bytes;
}

uint64_t longest_generation(const SessionScript& script) {
  uint64_t longest = 0;
  for (const SegmentScript& segment : script.segments) longest = std::max<uint64_t>(longest, segment.generate);
  return longest;
}

uint64_t longest_probe(const SessionScript& script) {
  uint64_t longest = 0;
  for (const SegmentScript& segment : script.segments) {
    if (segment.probe) longest = std::max<uint64_t>(longest, segment.ids.size() + segment.score.size() + segment.generate);
  }
  return longest;
}

}  // namespace

uint64_t slot_bytes(const KvConfig& kv) {
  uint64_t bytes = 0;
  for (size_t layer = 0; layer < kv.pools.size(); ++layer) {
    if (kv.windows[layer] == 0) bytes += kv.n_kv_heads[layer] * kv.pools[layer]->slot_bytes();
  }
  return bytes;
}

uint64_t dense_bytes(const KvConfig& kv, uint64_t n_slots, uint64_t n_fed) {
  uint64_t bytes = 0;
  for (uint32_t layer = 0; layer < kv.pools.size(); ++layer) {
    bytes += uint64_t{kv.n_kv_heads[layer]} * kv.pools[layer]->runs_for(kv.slots_in(layer, n_slots, n_fed)) * kv.pools[layer]->run_bytes();
  }
  return bytes;
}

Footprint footprint(const SessionScript& script, const SessionBudget& budget, const KvConfig& kv,
                    uint32_t max_rebuild_rows) {
  const PolicySettings& policy = *script.policy;
  const uint64_t n_total = script.n_total();
  const bool has_forks = std::any_of(script.segments.begin(), script.segments.end(), [](const auto& s) { return s.fork; });
  Footprint result;
  if (!budget.bounded || (policy.when & TENURE_PHASE_CHUNK) == 0) {
    result.steady = dense_bytes(kv, n_total, n_total);
    uint64_t longest_fork = 0;
    for (const SegmentScript& segment : script.segments) {
      if (segment.fork) longest_fork = std::max<uint64_t>(longest_fork, segment.ids.size() + segment.score.size() + segment.generate);
    }
    // A decision rewrites shared pages; without one only the last run of each head is copied.
    result.fork = !has_forks ? 0 : budget.bounded ? result.steady : ragged_bytes(kv, longest_fork, longest_fork, true);
    return result;
  }
  const bool in_decode = (policy.when & TENURE_PHASE_DECODE) != 0;
  const uint64_t growth = in_decode ? uint64_t{policy.slack} + policy.period : longest_generation(script) + 1;
  const uint64_t rebuilt = policy.needs().rebuild ? max_rebuild_rows : 0;
  // Also under scope "head": a policy may keep sets of its own lengths, or give n_keep.
  const bool ragged = policy.granularity == TENURE_GRANULARITY_KV_HEAD || policy.scope == BudgetScope::global || rebuilt > 0;
  // An answer's growth is still there while the next segment's first chunk is fed.
  const uint64_t on_top = script.segments.size() > 1 ? growth + policy.chunk : std::max<uint64_t>(growth, policy.chunk);
  // No table holds a position twice.
  const uint64_t steady_slots = std::min<uint64_t>(budget.slots + growth + rebuilt, n_total);
  const uint64_t peak_slots = std::min<uint64_t>(budget.slots + on_top + rebuilt, n_total);
  result.steady = ragged_bytes(kv, steady_slots, n_total, ragged);
  result.prefill = ragged_bytes(kv, std::max(peak_slots, steady_slots), n_total, ragged) - result.steady;
  // A probe keeps all of its own tokens, and the one that the trunk may have left to it.
  const uint64_t probe_slots = std::min<uint64_t>(budget.slots + longest_probe(script) + 1 + rebuilt, n_total);
  if (has_forks) result.fork = std::max(result.steady + result.prefill, ragged_bytes(kv, probe_slots, n_total, ragged));
  return result;
}

uint64_t full_bytes(const SessionScript& script, const KvConfig& kv) { return dense_bytes(kv, script.n_total(), script.n_total()); }

}  // namespace tenure
