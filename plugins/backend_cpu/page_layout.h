// The CPU's cache page: 16 slots of one (layer, KV head), keys before values.
//
// Keys lie transposed, so that one vector holds the same elements of 16 keys: [n_units][16 slots], a unit
// being one element of a plain type and one 4-byte word of codes of a quantised one. Values follow as rows,
// [16 slots][row_bytes].
//
// Quantised rows are groups of 32 elements, each with an f16 scale and, for Q4_1, an f16 minimum; before the
// codes of a page's keys, and of its values, lie their scales, [n_groups][16 slots], and then their minimums
// likewise. Byte i of a Q4_1 group has element i in its low and element i + 16 in its high nibble. In f32
// arithmetic, rounded to the nearest, ties to even:
//   Q8_0  scale = f16(largest |x| / 127), code = x / scale, from -127 to 127
//   Q4_1  minimum = f16(least x), scale = f16((largest x - minimum) / 15), code = (x - minimum) / scale, from
//         0 to 15
// Keys of Q4_1 are spread before (is_spread in cached_slot.h), for few of their elements are far larger than
// the others, and would leave these with hardly a code.
#pragma once

#include <tenure/backend.h>

#include <cstdint>

namespace tenure::cpu {

constexpr uint32_t kPageSlots = 16;
constexpr uint32_t kMaxHeadDim = 256;
constexpr uint32_t kGroup = 32;                    // elements of one scale
constexpr uint32_t kCacheTypes = TENURE_Q4_1 + 1;  // tables of types are indexed by TENURE_*
constexpr uint32_t kMaxGroups = kMaxHeadDim / kGroup;

// How a page keeps one row.
struct RowFormat {
  uint32_t unit_elements;  // 0: a page cannot hold this type
  uint32_t unit_bytes;
  uint32_t group_halves;  // f16 numbers of a group of 32: none, its scale, its scale and its minimum

  constexpr uint32_t elements() const { return group_halves == 0 ? 16 : kGroup; }  // head_dim is a multiple
  constexpr uint32_t row_bytes(uint32_t head_dim) const { return head_dim / unit_elements * unit_bytes; }
  constexpr uint32_t n_halves(uint32_t head_dim) const { return group_halves * (head_dim / kGroup); }
  // Of a page's keys or values.
  constexpr uint32_t halves_bytes(uint32_t head_dim) const { return kPageSlots * n_halves(head_dim) * 2; }
  constexpr uint32_t page_bytes(uint32_t head_dim) const {
    return halves_bytes(head_dim) + kPageSlots * row_bytes(head_dim);
  }
};

constexpr RowFormat row_format(uint32_t dtype) {
  switch (dtype) {
    case TENURE_F32:
      return {1, 4, 0};
    case TENURE_F16:
    case TENURE_BF16:
      return {1, 2, 0};
    case TENURE_Q8_0:
      return {4, 4, 1};
    case TENURE_Q4_1:
      return {8, 4, 2};
    default:
      return {};
  }
}

struct PageLayout {
  uint32_t head_dim;
  uint32_t k_type;
  uint32_t v_type;

  constexpr RowFormat k_format() const { return row_format(k_type); }
  constexpr RowFormat v_format() const { return row_format(v_type); }
  constexpr bool holds(RowFormat format) const {
    return format.unit_elements != 0 && head_dim % format.elements() == 0;
  }
  constexpr bool supported() const {
    return head_dim != 0 && head_dim <= kMaxHeadDim && holds(k_format()) && holds(v_format());
  }
  constexpr uint32_t v_offset() const { return k_format().page_bytes(head_dim); }
  // Whole cache lines: those of plain types fill them, quantised keys with plain values may not.
  constexpr uint32_t bytes() const { return (v_offset() + v_format().page_bytes(head_dim) + 63) / 64 * 64; }
};

constexpr PageLayout page_layout(const tenure_kv_pool& pool, uint32_t head_dim) {
  return {head_dim, pool.k_type, pool.v_type};
}

}  // namespace tenure::cpu
