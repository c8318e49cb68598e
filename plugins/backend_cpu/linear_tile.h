// Matrix products over packed weights, written once over an instruction set `Isa` (16 lanes of f32 and i32).
//
// One tile holds kRows x kGroups accumulators and walks k in ascending order; per k-block it adds
//   (activation scale * weight scale) * integer dot product
// with one multiply-add. Integer sums are exact, so every tile shape gives a row the same bits: decode, small
// batches and prefill agree, whatever the number of rows.
//
// Included by one file an instruction set, each compiled with its own flags: nothing here may have external
// linkage.
#pragma once

#include "plain_tile.h"
#include "quantised_tile.h"

namespace tenure::cpu {
namespace {

template <class Tile, bool kStreams, int kRows, int kGroups>
void run_groups(const TileArgs& t, int n_groups) {
  if (n_groups == kGroups) return Tile::template run<kStreams, kRows, kGroups>(t);
  if constexpr (kGroups > 1) run_groups<Tile, kStreams, kRows, kGroups - 1>(t, n_groups);
}

template <class Tile, bool kStreams, int kRows>
void run_rows(const TileArgs& t, int n_rows, int n_groups) {
  constexpr int max_groups = kStreams ? int{kPanelGroups} : Tile::max_groups(kRows);
  if (n_rows == kRows) return run_groups<Tile, kStreams, kRows, max_groups>(t, n_groups);
  if constexpr (kRows > 1) run_rows<Tile, kStreams, kRows - 1>(t, n_rows, n_groups);
}

// Up to so many rows memory is the limit, and flat tiles over whole panels read it best.
constexpr uint32_t kMemoryBoundRows = 16;

// Strips of output groups outside, tiles of rows inside: a strip's weights come from memory once and stay in
// L1/L2. Where one tile takes all rows, it streams.
template <class Tile>
void linear(const LinearTask& task) {
  const bool streams = task.n_rows <= uint32_t{Tile::stream_rows};
  const uint64_t row_bytes = Tile::x_row_bytes(*task.weight);
  const uint32_t tile_rows = task.n_rows <= kMemoryBoundRows ? Tile::few_rows : Tile::max_rows;
  const uint32_t n_tiles = streams ? 1 : (task.n_rows + tile_rows - 1) / tile_rows;
  const auto widest =
      static_cast<uint32_t>(Tile::max_groups(static_cast<int>((task.n_rows + n_tiles - 1) / n_tiles)));
  const uint32_t strip = streams ? kPanelGroups : widest;
  const uint64_t next_panel = kPanelGroups * task.weight->group_bytes();
  for (uint32_t group = task.group_begin; group < task.group_end;) {
    const uint32_t in_panel = kPanelGroups - group % kPanelGroups;
    const uint32_t left = task.group_end - group;
    uint32_t n_groups = strip;
    if (n_groups > in_panel) n_groups = in_panel;
    if (n_groups > left) n_groups = left;
    const uint32_t offset = (group - task.group_begin) * kGroupRows;
    for (uint32_t tile = 0; tile < n_tiles; ++tile) {
      const uint32_t row = static_cast<uint32_t>(uint64_t{task.n_rows} * tile / n_tiles);
      const uint32_t end = static_cast<uint32_t>(uint64_t{task.n_rows} * (tile + 1) / n_tiles);
      const TileArgs t{.weight = task.weight,
                       .group = group,
                       .x = static_cast<const uint8_t*>(task.x) + row * row_bytes,
                       .out = task.out + row * task.out_stride + offset,
                       .out_stride = task.out_stride,
                       .bias = task.bias ? task.bias + offset : nullptr,
                       .accumulate = task.accumulate,
                       .prefetch = {.distance = next_panel, .period = n_tiles, .countdown = tile + 1}};
      const int n_rows = static_cast<int>(end - row);
      if (streams) {
        run_rows<Tile, true, Tile::stream_rows>(t, n_rows, static_cast<int>(n_groups));
      } else {
        run_rows<Tile, false, Tile::max_rows>(t, n_rows, static_cast<int>(n_groups));
      }
    }
    group += n_groups;
  }
}

template <class Isa>
void linear_any(const LinearTask& task) {
  switch (task.weight->dtype) {
    case TENURE_Q8_0:
      return linear<QuantisedTile<Isa, Q8_0>>(task);
    case TENURE_Q4_0:
      return linear<QuantisedTile<Isa, Q4_0>>(task);
    case TENURE_Q4_1:
      return linear<QuantisedTile<Isa, Q4_1>>(task);
    case TENURE_Q5_0:
      return linear<QuantisedTile<Isa, Q5_0>>(task);
    case TENURE_Q5_1:
      return linear<QuantisedTile<Isa, Q5_1>>(task);
    case TENURE_Q4_K:
      return linear<QuantisedTile<Isa, Q4_K>>(task);
    case TENURE_Q5_K:
      return linear<QuantisedTile<Isa, Q5_K>>(task);
    case TENURE_Q6_K:
      return linear<QuantisedTile<Isa, Q6_K>>(task);
    case TENURE_F16:
      return linear<PlainTile<Isa, F16>>(task);
    case TENURE_BF16:
      return linear<PlainTile<Isa, Bf16>>(task);
    default:
      return linear<PlainTile<Isa, F32>>(task);
  }
}

}  // namespace
}  // namespace tenure::cpu
