#include "cache_append.h"

#include <cstring>

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

// A key's elements go to lane `lane` of head_dim vectors.
template <class Element>
void put_key(const Element* key, uint32_t head_dim, uint32_t lane, uint8_t* page) {
  Element* at = reinterpret_cast<Element*>(page) + lane;
  for (uint32_t d = 0; d < head_dim; ++d) at[d * kPageSlots] = key[d];
}

void append_rows(const Append& a) {
  const PageLayout layout = a.layout;
  const uint32_t v_bytes = layout.head_dim * cache_element_bytes(layout.v_type);
  alignas(64) unsigned char narrow[kMaxHeadDim * sizeof(float)];  // as wide as the widest type
  uint32_t slot = a.head.first_slot;
  for (uint32_t r = 0; r < a.segment.n_rows; ++r) {
    if (a.head.write_mask && a.head.write_mask[r] == 0) continue;
    uint8_t* page = static_cast<uint8_t*>(a.segment.pool->base) +
                    uint64_t{a.head.pages[slot / kPageSlots]} * a.segment.pool->page_bytes;
    const uint32_t lane = slot % kPageSlots;
    a.kernels.narrow[layout.k_type](a.k + r * a.row_stride, layout.head_dim, narrow);
    if (layout.k_type == TENURE_F32) {
      put_key(reinterpret_cast<const uint32_t*>(narrow), layout.head_dim, lane, page);
    } else {
      put_key(reinterpret_cast<const uint16_t*>(narrow), layout.head_dim, lane, page);
    }
    a.kernels.narrow[layout.v_type](a.v + r * a.row_stride, layout.head_dim,
                                    page + layout.v_offset() + lane * v_bytes);
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
