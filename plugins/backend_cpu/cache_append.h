// Writes a forward's key and value rows into their slots, converted to the cache's types once.
#pragma once

#include <tenure/backend.h>

#include <cstdint>

#include "attend_exec.h"
#include "attend_kernels.h"

namespace tenure::cpu {

struct CacheAppendCall {
  const tenure_segment* segments;
  uint32_t n_segments;
  uint32_t n_kv_heads;
  uint32_t head_dim;
  const float* k;  // (n_rows, n_kv_heads * head_dim), rotated
  const float* v;
};
void cache_append(const AttendKernels&, const Exec&, const CacheAppendCall&);

}  // namespace tenure::cpu
