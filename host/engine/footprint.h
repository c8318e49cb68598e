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

// One slot in every KV head of the layers that a policy decides on.
uint64_t slot_bytes(const KvConfig& kv);
// n slots in every layer and KV head, in whole runs; in layers with a window what is left of n_fed tokens.
uint64_t dense_bytes(const KvConfig& kv, uint64_t n_slots, uint64_t n_fed);
// Of a request that releases nothing.
uint64_t full_bytes(const SessionScript& script, const KvConfig& kv);

}  // namespace tenure
