// Attention of a mixed batch over paged, ragged caches. One parallel region a call; which worker computes
// what never changes a result.
#pragma once

#include <tenure/backend.h>

#include <cstddef>
#include <cstdint>

#include "attend_exec.h"
#include "attend_kernels.h"
#include "rope.h"

namespace tenure::cpu {

struct AttendCall {
  const tenure_segment* segments;
  uint32_t n_segments;
  uint32_t n_heads;
  uint32_t n_kv_heads;
  uint32_t head_dim;
  uint32_t window;        // 0 = all
  double scale;           // of q.k before the softmax
  const RopeTable* rope;  // of the layer: turns queries for runs with a shift
  const float* q;         // (n_rows, n_heads * head_dim), rotated
  float* out;             // (n_rows, n_heads * head_dim)
};

// The largest call to expect; a call inside allocates nothing.
struct AttendLimits {
  uint32_t n_rows;
  uint32_t n_segments;
  uint32_t n_slots;  // of one head
  uint32_t n_heads;
  uint32_t n_kv_heads;
  uint32_t head_dim;
  uint32_t n_runs;  // of one head, at least 1
};

// Scratch for attend. Address space is taken for the worst case, memory only when a call touches it.
class AttendScratch {
 public:
  AttendScratch() = default;
  ~AttendScratch();
  AttendScratch(const AttendScratch&) = delete;
  AttendScratch& operator=(const AttendScratch&) = delete;

  // At least so many bytes, 64-byte aligned, contents undefined after growing; nullptr when the system has no
  // more.
  std::byte* reserve(size_t bytes);
  size_t bytes() const { return bytes_; }

 private:
  std::byte* base_ = nullptr;
  size_t bytes_ = 0;
};

// TENURE_OK or TENURE_OOM_HOST.
tenure_status attend_reserve(const AttendKernels&, const Exec&, const AttendLimits&, AttendScratch&);

// Layouts must be supported (page_layout.h). TENURE_OK or TENURE_OOM_HOST.
tenure_status attend(const AttendKernels&, const Exec&, const AttendCall&, AttendScratch&);

}  // namespace tenure::cpu
