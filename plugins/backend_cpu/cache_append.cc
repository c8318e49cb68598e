#include "cache_append.h"

#include "cached_slot.h"
#include "page_layout.h"

namespace tenure::cpu {
namespace {

// One head's rows of one segment.
struct Append {
  const AttendKernels& kernels;
  const tenure_segment& segment;
  const tenure_kv_view& head;
  PageLayout layout;
  const float* k;  // the segment's first row of this head
  const float* v;
  uint64_t row_stride;
};

void append_rows(const Append& a) {
  uint32_t slot = a.head.first_slot;
  for (uint32_t r = 0; r < a.segment.n_rows; ++r) {
    if (a.head.write_mask && a.head.write_mask[r] == 0) continue;
    uint8_t* page = static_cast<uint8_t*>(a.segment.pool->base) +
                    uint64_t{a.head.pages[slot / kPageSlots]} * a.segment.pool->page_bytes;
    const SlotAt at{.page = page, .lane = slot % kPageSlots};
    write_key(a.kernels, a.layout, at, a.k + r * a.row_stride);
    write_value(a.kernels, a.layout, at, a.v + r * a.row_stride);
    ++slot;
  }
}

}  // namespace

void cache_append(const AttendKernels& kernels, const Exec& exec, const CacheAppendCall& call) {
  const uint64_t row_stride = uint64_t{call.n_kv_heads} * call.head_dim;
  const auto append_head = [&](uint32_t task, uint32_t) {
    const tenure_segment& segment = call.segments[task / call.n_kv_heads];
    const uint32_t h = task % call.n_kv_heads;
    const uint64_t first = segment.first_row * row_stride + uint64_t{h} * call.head_dim;
    append_rows({.kernels = kernels,
                 .segment = segment,
                 .head = segment.heads[h],
                 .layout = page_layout(*segment.pool, call.head_dim),
                 .k = call.k + first,
                 .v = call.v + first,
                 .row_stride = row_stride});
  };
  exec.for_each(call.n_segments * call.n_kv_heads, append_head);
}

}  // namespace tenure::cpu
