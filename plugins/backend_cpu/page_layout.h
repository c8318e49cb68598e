// The CPU's cache page: 16 slots of one (layer, KV head), keys before values.
//
// Keys lie transposed, so that one vector holds the same elements of 16 keys: [n_units][16 slots], a unit
// being one element of a plain type and one 4-byte word of codes of a quantised one. Values follow as rows,
// [16 slots][row_bytes]. Keys of a page of Q4_1 are rows of Q5_1: what quantising costs in answers, keys
// cost, and four of their bits cost three times what five do (docs/quality.md).
//
// Quantised rows are groups of 32 elements, each with an f16 scale and, but for Q8_0, an f16 minimum; before
// the codes of a page's keys, and of its values, lie their scales, [n_groups][16 slots], and then their
// minimums likewise. Byte i of the other groups has element i in its low and element i + 16 in its high
// nibble; after these 16 bytes Q5_1 has 4 of fifth bits, bit j of byte b being that of element 4 * j + b. In
// f32 arithmetic, rounded to the nearest, ties to even:
//   Q8_0        scale = f16(largest |x| / 127), code = x / scale, from -127 to 127
//   Q4_1, Q5_1  minimum = f16(least x), scale = f16((largest x - minimum) / n), code = (x - minimum) / scale,
//               from 0 to n, which is 15 or 31
// Keys of Q5_1 are spread before (is_spread in cached_slot.h), for few of their elements are far larger than
// the others, and would leave these with hardly a code.
#pragma once

#include <tenure/backend.h>

#include <cstdint>

namespace tenure::cpu {

constexpr uint32_t kPageSlots = 16;
constexpr uint32_t kMaxHeadDim = 256;
constexpr uint32_t kGroup = 32;                    // elements of one scale
constexpr uint32_t kCacheTypes = TENURE_Q5_1 + 1;  // tables of types are indexed by TENURE_*
constexpr uint32_t kMaxGroups = kMaxHeadDim / kGroup;

// How a page keeps one row.
struct RowFormat {
  uint32_t group_units;  // units of 32 elements; 0: a page cannot hold this type
  uint32_t unit_bytes;
  uint32_t group_halves;  // f16 numbers of a group of 32: none, its scale, its scale and its minimum

  constexpr uint32_t elements() const { return group_halves == 0 ? 16 : kGroup; }  // head_dim is a multiple
  constexpr uint32_t n_units(uint32_t head_dim) const { return head_dim * group_units / kGroup; }
  constexpr uint32_t row_bytes(uint32_t head_dim) const { return n_units(head_dim) * unit_bytes; }
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
      return {kGroup, 4, 0};
    case TENURE_F16:
    case TENURE_BF16:
      return {kGroup, 2, 0};
    case TENURE_Q8_0:
      return {8, 4, 1};
    case TENURE_Q4_1:
      return {4, 4, 2};
    case TENURE_Q5_1:
      return {5, 4, 2};
    default:
      return {};
  }
}

// The type of the rows that keys are kept as in a page of k_type.
constexpr uint32_t key_rows(uint32_t k_type) {
  return k_type == TENURE_Q4_1 ? uint32_t{TENURE_Q5_1} : k_type;
}

struct PageLayout {
  uint32_t head_dim;
  uint32_t k_type;
  uint32_t v_type;

  constexpr RowFormat k_format() const { return row_format(key_rows(k_type)); }
  constexpr RowFormat v_format() const { return row_format(v_type); }
  constexpr bool holds(RowFormat format) const {
    return format.group_units != 0 && head_dim % format.elements() == 0;
  }
  constexpr bool supported() const {
    if (k_type == TENURE_Q5_1 || v_type == TENURE_Q5_1)
      return false;  // not asked for: what Q4_1 makes of keys
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
