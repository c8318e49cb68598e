#include "cached_slot.h"

#include <cstring>

namespace tenure::cpu {
namespace {

// A page's keys or its values, as units of one slot: those of a key stand 16 units apart, a value is one
// unit.
struct Side {
  uint8_t* halves;    // [n_halves][16 slots]
  uint8_t* elements;  // the slot's first unit
  uint32_t n_halves;
  uint32_t n_units;
  uint32_t unit_bytes;
};

Side keys_of(const PageLayout& layout, SlotAt at) {
  const RowFormat format = layout.k_format();
  return {.halves = at.page,
          .elements = at.page + format.halves_bytes(layout.head_dim) + at.lane * format.unit_bytes,
          .n_halves = format.n_halves(layout.head_dim),
          .n_units = format.n_units(layout.head_dim),
          .unit_bytes = format.unit_bytes};
}

Side values_of(const PageLayout& layout, SlotAt at) {
  const RowFormat format = layout.v_format();
  const uint32_t row_bytes = format.row_bytes(layout.head_dim);
  uint8_t* halves = at.page + layout.v_offset();
  return {.halves = halves,
          .elements = halves + format.halves_bytes(layout.head_dim) + at.lane * row_bytes,
          .n_halves = format.n_halves(layout.head_dim),
          .n_units = 1,
          .unit_bytes = row_bytes};
}

struct Units {
  uint8_t* at;
  uint32_t stride;
};

template <uint32_t kBytes>
void copy_units(Units to, Units from, uint32_t n) {
  for (uint32_t i = 0; i < n; ++i) std::memcpy(to.at + i * to.stride, from.at + i * from.stride, kBytes);
}
void copy_units(const Side& side, Units to, Units from) {
  if (side.n_units == 1) {
    std::memcpy(to.at, from.at, side.unit_bytes);
  } else if (side.unit_bytes == 2) {
    copy_units<2>(to, from, side.n_units);
  } else {
    copy_units<4>(to, from, side.n_units);
  }
}

void put(const Side& side, uint32_t lane, PackedRow& row) {
  for (uint32_t i = 0; i < side.n_halves; ++i)
    std::memcpy(side.halves + (i * kPageSlots + lane) * 2, &row.halves[i], 2);
  copy_units(side, {side.elements, kPageSlots * side.unit_bytes}, {row.elements, side.unit_bytes});
}

void get(const Side& side, uint32_t lane, PackedRow& row) {
  for (uint32_t i = 0; i < side.n_halves; ++i)
    std::memcpy(&row.halves[i], side.halves + (i * kPageSlots + lane) * 2, 2);
  copy_units(side, {row.elements, side.unit_bytes}, {side.elements, kPageSlots * side.unit_bytes});
}

void copy_side(const Side& from, uint32_t from_lane, const Side& to, uint32_t to_lane) {
  for (uint32_t i = 0; i < from.n_halves; ++i)
    std::memcpy(to.halves + (i * kPageSlots + to_lane) * 2, from.halves + (i * kPageSlots + from_lane) * 2, 2);
  const uint32_t stride = kPageSlots * from.unit_bytes;
  copy_units(from, {to.elements, stride}, {from.elements, stride});
}

void prefetch_bytes(const uint8_t* p, uint32_t n) {
  for (uint32_t i = 0; i < n; i += 64) __builtin_prefetch(p + i);
}

}  // namespace

void write_key(const AttendKernels& kernels, const PageLayout& layout, SlotAt at, const float* row) {
  PackedRow packed;
  alignas(64) float spread[kMaxHeadDim];
  if (is_spread(layout.k_type)) {
    kernels.spread(row, layout.head_dim, 1.0f, spread);
    row = spread;
  }
  kernels.narrow[key_rows(layout.k_type)](row, layout.head_dim, packed);
  put(keys_of(layout, at), at.lane, packed);
}

void write_value(const AttendKernels& kernels, const PageLayout& layout, SlotAt at, const float* row) {
  PackedRow packed;
  kernels.narrow[layout.v_type](row, layout.head_dim, packed);
  put(values_of(layout, at), at.lane, packed);
}

void read_key(const AttendKernels& kernels, const PageLayout& layout, SlotAt at, float* row) {
  PackedRow packed;
  get(keys_of(layout, at), at.lane, packed);
  kernels.widen[key_rows(layout.k_type)](packed, layout.head_dim, row);
  if (is_spread(layout.k_type)) kernels.spread(row, layout.head_dim, 1.0f / kGroup, row);
}

void read_value(const AttendKernels& kernels, const PageLayout& layout, SlotAt at, float* row) {
  PackedRow packed;
  get(values_of(layout, at), at.lane, packed);
  kernels.widen[layout.v_type](packed, layout.head_dim, row);
}

void copy_slot(const PageLayout& layout, SlotAt from, SlotAt to) {
  copy_side(keys_of(layout, from), from.lane, keys_of(layout, to), to.lane);
  copy_side(values_of(layout, from), from.lane, values_of(layout, to), to.lane);
}

void prefetch_slot(const PageLayout& layout, SlotAt at) {
  // A key has an element in nearly every line of the page's keys.
  prefetch_bytes(at.page, layout.v_offset());
  const Side values = values_of(layout, at);
  prefetch_bytes(values.halves, layout.v_format().halves_bytes(layout.head_dim));
  prefetch_bytes(values.elements, values.unit_bytes);
}

}  // namespace tenure::cpu
