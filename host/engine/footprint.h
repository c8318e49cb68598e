// The most cache bytes a request can come to hold: what admission reserves, so that a running session never waits.
#pragma once

#include <cstdint>

#include "cache/kv_cache.h"
#include "session/script.h"

namespace tenure {

struct Footprint {
  uint64_t steady = 0;   // to its end, between decisions of decode
  uint64_t prefill = 0;  // on top while text is fed: one chunk
  uint64_t fork = 0;     // one forked segment, beside the trunk
  uint64_t at_start() const { return steady + prefill + fork; }
};

Footprint footprint(const SessionScript& script, const SessionBudget& budget, const KvConfig& kv,
                    uint32_t max_rebuild_rows);

// One slot in every layer and KV head.
uint64_t slot_bytes(const KvConfig& kv);
// n slots in every layer and KV head of a cache that releases nothing, in whole runs.
uint64_t dense_bytes(const KvConfig& kv, uint64_t n_slots);

}  // namespace tenure
