// Changes to what is cached: slots that move (eviction, compaction, copy on write), whole pages that are
// copied, keys that are turned to new positions; and what policies read of it.
#pragma once

#include <tenure/backend.h>

#include <cstdint>

#include "attend_exec.h"
#include "attend_kernels.h"
#include "rope.h"

namespace tenure::cpu {

// Every entry runs its moves in order; entries run side by side and must not touch each other's slots.
void cache_move(const Exec&, uint32_t n, const tenure_kv_moves* moves);

void cache_copy(const Exec&, uint32_t n, const tenure_page_copy* copies);

// Turns one head's keys; the table is its layer's. A delta of 0 leaves the key's bits as they are; other
// keys of quantised types are quantised once more.
void cache_rotate(const AttendKernels&, const RopeTable&, const tenure_kv_rotation&, uint32_t head_dim);

void cache_read(const AttendKernels&, const Exec&, uint32_t n, const tenure_kv_read* reads);

}  // namespace tenure::cpu
