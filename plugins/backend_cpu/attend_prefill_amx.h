// Prefill products on matrix units, 32 rows of queries at once. Keys and values lie as in
// attend_prefill_bf16.h: a page's [head_dim / 2][16 slots][2] is a stack of column tiles over dimensions, and
// two pages' [16 slot pairs][head_dim][2] are column tiles over slots, side by side. Queries and keys are
// padded with zeros to whole steps of 32 dimensions.
#pragma once

#include "attend_prefill_bf16.h"
#include "tiles.h"

namespace tenure::cpu {
namespace {

template <class Tiles>
struct TileProducts {
  using Element = Bf16;
  static constexpr uint32_t tile_rows = kTileBlockRows;
  static constexpr uint32_t depth = kTileInputs;

  Tiles tiles;

  static void pack_queries(const float* q, uint32_t n, float scale, Bf16* packed) {
    Bf16Fixed::pack_queries(q, n, scale, packed);
  }
  template <class K>
  static void pack_keys(const uint8_t* page, uint32_t head_dim, Bf16* packed) {
    Bf16Fixed::pack_keys<K>(page, head_dim, packed);
  }
  template <class V>
  static void pack_values(const uint8_t* page, uint32_t head_dim, uint32_t n_slots, Bf16* packed) {
    Bf16Fixed::pack_values<V>(page, head_dim, n_slots, packed);
  }
  static const uint8_t* bytes(const Bf16* p) { return reinterpret_cast<const uint8_t*>(p); }

  void score(uint32_t n_rows, const Bf16* q, const Bf16* keys, uint32_t head_dim, float* scores,
             uint64_t stride) {
    const uint32_t n_steps = (head_dim + kTileInputs - 1) / kTileInputs;
    const uint64_t page_bytes = uint64_t{n_steps} * kTileBytes;
    tiles.fence();
    with_tile_counts(n_rows, 2 * kTileLines, [&](auto rows, auto columns) {
      for (uint32_t slot = 0; slot < kPanelSlots; slot += 2 * kTileLines) {
        clear_sums<rows.value, columns.value>(tiles);
        multiply_steps<rows.value, columns.value>(tiles, {bytes(q), n_steps * kTileInputs * sizeof(Bf16)},
                                                  {.at = bytes(keys) + slot / 16 * page_bytes,
                                                   .stride = kTileLineBytes,
                                                   .next_tile = page_bytes,
                                                   .next_step = kTileBytes},
                                                  n_steps);
        store_sums<rows.value, columns.value>(tiles, {scores + slot, stride});
      }
    });
  }

  void weigh(const Weighing<Bf16>& w) {
    tiles.fence();
    for (uint32_t dim = 0; dim < w.head_dim; dim += 2 * kTileLines) {
      with_tile_counts(w.n_rows, w.head_dim - dim, [&](auto rows, auto columns) {
        const TileSums sums{w.sums + dim, w.head_dim};
        load_sums<rows.value, columns.value>(tiles, sums);
        for (uint32_t p = 0; p < kBlockPanels; ++p) {
          if (w.panels[p] == Panel::hidden) continue;
          const uint32_t slot = p * kPanelSlots;
          const uint64_t pair_bytes = uint64_t{w.head_dim} * 2 * sizeof(Bf16);
          multiply_steps<rows.value, columns.value>(
              tiles, {bytes(w.weights + slot), w.stride * sizeof(Bf16)},
              {.at = bytes(Bf16Fixed::value_at(w.values, w.head_dim, slot, dim)),
               .stride = pair_bytes,
               .next_tile = kTileLineBytes,
               .next_step = kTileLines * pair_bytes},
              kPanelSlots / kTileInputs);
        }
        store_sums<rows.value, columns.value>(tiles, sums);
      });
    }
  }
};

}  // namespace
}  // namespace tenure::cpu
