// Products on matrix units, written once over `Tiles`: the hardware's (hardware_tiles.h), or a model of them
// that tests use where a machine has none.
//
// A Tiles holds a block of 2 x 2 tiles of f32 sums, two tiles of rows and two of columns, and is configured
// while it lives. A tile is 16 lines of 64 bytes: 16 x 16 sums, 16 rows of 32 bf16 inputs, or 16 columns of
// as many inputs as [16 pairs of inputs][16 columns][2]. Its functions are templates over the place in the
// block:
//   fence()                     what was written before is seen by the loads that follow
//   clear<i, j>()               sums = 0
//   load_rows<i>(p, stride)     stride in bytes, here and below
//   load_columns<j>(p, stride)
//   load_sums<i, j>(p, stride), store_sums<i, j>(p, stride)
//   multiply<i, j>()            sums(i, j) += rows(i) * columns(j)
// One multiply sums a line's even and its odd inputs apart, then both, then adds that to the sum: a sum's
// bits depend on its own row and column and on the order of steps, on nothing else.
//
// Included by files compiled for different instruction sets: nothing here may have external linkage.
#pragma once

#include <cstdint>

namespace tenure::cpu {
namespace {

constexpr uint32_t kTileLines = 16;
constexpr uint32_t kTileLineBytes = 64;
constexpr uint32_t kTileBytes = kTileLines * kTileLineBytes;
constexpr uint32_t kTileInputs = 32;  // bf16 inputs of one step
constexpr uint32_t kTileBlockRows = 2 * kTileLines;

// Rows of bf16; the next tile's follow behind 16 of them, the next step's inputs behind a line.
struct TileRows {
  const uint8_t* at;
  uint64_t stride;  // bytes
};
// Distances in bytes.
struct TileColumns {
  const uint8_t* at;
  uint64_t stride;
  uint64_t next_tile;
  uint64_t next_step;
};
struct TileSums {
  float* at;
  uint64_t stride;  // floats
};

template <int kRowTiles, int kColumnTiles, class Tiles>
[[gnu::always_inline]] inline void clear_sums(Tiles& tiles) {
  tiles.template clear<0, 0>();
  if constexpr (kColumnTiles > 1) tiles.template clear<0, 1>();
  if constexpr (kRowTiles > 1) tiles.template clear<1, 0>();
  if constexpr (kRowTiles > 1 && kColumnTiles > 1) tiles.template clear<1, 1>();
}

template <int kRowTiles, int kColumnTiles, class Tiles>
[[gnu::always_inline]] inline void load_sums(Tiles& tiles, const TileSums& sums) {
  const uint64_t bytes = sums.stride * sizeof(float);
  const float* below = sums.at + kTileLines * sums.stride;
  tiles.template load_sums<0, 0>(sums.at, bytes);
  if constexpr (kColumnTiles > 1) tiles.template load_sums<0, 1>(sums.at + kTileLines, bytes);
  if constexpr (kRowTiles > 1) tiles.template load_sums<1, 0>(below, bytes);
  if constexpr (kRowTiles > 1 && kColumnTiles > 1) tiles.template load_sums<1, 1>(below + kTileLines, bytes);
}

template <int kRowTiles, int kColumnTiles, class Tiles>
[[gnu::always_inline]] inline void store_sums(Tiles& tiles, const TileSums& sums) {
  const uint64_t bytes = sums.stride * sizeof(float);
  float* below = sums.at + kTileLines * sums.stride;
  tiles.template store_sums<0, 0>(sums.at, bytes);
  if constexpr (kColumnTiles > 1) tiles.template store_sums<0, 1>(sums.at + kTileLines, bytes);
  if constexpr (kRowTiles > 1) tiles.template store_sums<1, 0>(below, bytes);
  if constexpr (kRowTiles > 1 && kColumnTiles > 1) tiles.template store_sums<1, 1>(below + kTileLines, bytes);
}

// One load a multiply: a load and a multiply take about as long when the operands are in L2.
template <int kRowTiles, int kColumnTiles, class Tiles>
[[gnu::always_inline]] inline void multiply_steps(Tiles& tiles, TileRows rows, TileColumns columns,
                                                  uint32_t n_steps) {
  for (uint32_t step = 0; step < n_steps; ++step) {
    tiles.template load_columns<0>(columns.at, columns.stride);
    tiles.template load_rows<0>(rows.at, rows.stride);
    tiles.template multiply<0, 0>();
    if constexpr (kColumnTiles > 1) {
      tiles.template load_columns<1>(columns.at + columns.next_tile, columns.stride);
      tiles.template multiply<0, 1>();
    }
    if constexpr (kRowTiles > 1) {
      tiles.template load_rows<1>(rows.at + kTileLines * rows.stride, rows.stride);
      tiles.template multiply<1, 0>();
      if constexpr (kColumnTiles > 1) tiles.template multiply<1, 1>();
    }
    rows.at += kTileLineBytes;
    columns.at += columns.next_step;
  }
}

template <int n>
struct TileCount {
  static constexpr int value = n;
};
// body(row tiles, column tiles) for a block of at most 32 x 32 sums.
template <class Body>
[[gnu::always_inline]] inline void with_tile_counts(uint32_t n_rows, uint32_t n_columns, const Body& body) {
  const bool one_row = n_rows <= kTileLines;
  const bool one_column = n_columns <= kTileLines;
  if (one_row && one_column) return body(TileCount<1>{}, TileCount<1>{});
  if (one_row) return body(TileCount<1>{}, TileCount<2>{});
  if (one_column) return body(TileCount<2>{}, TileCount<1>{});
  body(TileCount<2>{}, TileCount<2>{});
}

}  // namespace
}  // namespace tenure::cpu
