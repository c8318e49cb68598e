// The CPU's cache page: 16 slots of one (layer, KV head). Keys lie transposed, [head_dim][16 slots], so that
// one vector holds the same element of 16 keys; values follow as rows, [16 slots][head_dim].
#pragma once

#include <tenure/backend.h>

#include <cstdint>

namespace tenure::cpu {

constexpr uint32_t kPageSlots = 16;
constexpr uint32_t kMaxHeadDim = 256;

// Bytes of one cached element; 0 for types that a page cannot hold.
constexpr uint32_t cache_element_bytes(uint32_t dtype) {
  switch (dtype) {
    case TENURE_F32:
      return 4;
    case TENURE_F16:
    case TENURE_BF16:
      return 2;
    default:
      return 0;
  }
}

struct PageLayout {
  uint32_t head_dim;
  uint32_t k_type;
  uint32_t v_type;

  constexpr bool supported() const {
    return head_dim != 0 && head_dim % 16 == 0 && head_dim <= kMaxHeadDim &&
           cache_element_bytes(k_type) != 0 && cache_element_bytes(v_type) != 0;
  }
  constexpr uint32_t v_offset() const { return kPageSlots * head_dim * cache_element_bytes(k_type); }
  constexpr uint32_t bytes() const {
    return v_offset() + kPageSlots * head_dim * cache_element_bytes(v_type);
  }
};

constexpr PageLayout page_layout(const tenure_kv_pool& pool, uint32_t head_dim) {
  return {head_dim, pool.k_type, pool.v_type};
}

}  // namespace tenure::cpu
