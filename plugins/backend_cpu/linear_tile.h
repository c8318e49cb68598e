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

#include <utility>

#include "kernels.h"
#include "quantised_formats.h"

namespace tenure::cpu {
namespace {

// How far ahead a single tile prefetches, into L2: a core has twice as many misses of L2 under way as of L1 (decode
// 1.21 times as fast as with prefetches into L1 on Zen 4). 9 KiB was best on an Intel machine, 2 to 32 KiB measured alike
// on Zen 4 and 5. Where several tiles of rows read the same panel, each fetches its share of the next one, so that
// memory is busy in all of them (7 % at 16 rows).
constexpr uint64_t kPrefetchBytes = 9 * 1024;

struct Prefetch {
  uint64_t distance;   // bytes
  uint32_t period;     // every so many blocks
  uint32_t countdown;  // blocks until the next
  bool due() {
    if (--countdown != 0) return false;
    countdown = period;
    return true;
  }
};

// A task's cut of rows x groups for one tile.
struct TileArgs {
  const PackedMatrix* weight;
  uint32_t group;
  const void* x;  // first row
  float* out;     // first row, first output of `group`
  uint64_t out_stride;
  const float* bias;  // first output of `group`, or NULL
  bool accumulate;
  Prefetch prefetch;
};

template <class Isa>
void finish(const TileArgs& t, uint32_t row, uint32_t g, typename Isa::F sum) {
  const uint32_t first = (t.group + g) * kGroupRows;
  const uint32_t left = t.weight->n_out - first;
  float* out = t.out + row * t.out_stride + g * kGroupRows;
  if (left >= kGroupRows) {
    if (t.bias) sum = Isa::add(sum, Isa::load(t.bias + g * kGroupRows));
    if (t.accumulate) sum = Isa::add(sum, Isa::load(out));
    Isa::store(out, sum);
  } else {
    if (t.bias) sum = Isa::add(sum, Isa::load_first(t.bias + g * kGroupRows, left));
    if (t.accumulate) sum = Isa::add(sum, Isa::load_first(out, left));
    Isa::store_first(out, sum, left);
  }
}

// ---- quantised weights ----

// dots(r, g) += the products of one span of a block: the steps of `kSteps`, counted from the span's first.
template <class Isa, class Format, int kSpan, int kRows, int kGroups, int... kSteps>
[[gnu::always_inline]] inline void dot_span(const uint8_t* body, const ActivationBlock* const* x,
                                            typename Isa::I (&dots)[kRows][kGroups],
                                            std::integer_sequence<int, kSteps...>) {
  constexpr uint32_t group_bytes = block_format(Format::dtype).body_bytes;
  const auto add_step = [&]<int kStep>(std::integral_constant<int, kStep>) __attribute__((always_inline)) {
    typename Isa::Bytes weights[kGroups];
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) {
      weights[g] = Format::template values<Isa, kStep>(body + g * group_bytes);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const auto four = Isa::broadcast4(x[r]->q + 4 * Format::input_word(kStep));
#pragma GCC unroll 4
      for (int g = 0; g < kGroups; ++g) {
        dots[r][g] = Format::dtype == TENURE_Q8_0 ? Isa::dot_q8(dots[r][g], weights[g], four)
                                                  : Isa::dot(dots[r][g], weights[g], four);
      }
    }
  };
  (add_step(std::integral_constant<int, kSpan* static_cast<int>(sizeof...(kSteps)) + kSteps>{}), ...);
}

// sums(r, g) += one span of a block.
template <class Isa, class Format, int kSpan, int kRows, int kGroups>
[[gnu::always_inline]] inline void add_span(const BlockAt& at, const uint8_t* body,
                                            const ActivationBlock* const* x,
                                            typename Isa::F (&sums)[kRows][kGroups]) {
  typename Isa::I dots[kRows][kGroups];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) dots[r][g] = Format::template start<Isa>(*x[r], kSpan);
  }
  dot_span<Isa, Format, kSpan, kRows, kGroups>(
      body, x, dots, std::make_integer_sequence<int, Format::n_steps / Format::spans>{});
#pragma GCC unroll 4
  for (int g = 0; g < kGroups; ++g) {
    const typename Isa::F d = Format::template scale<Isa>(at, g, kSpan);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      sums[r][g] = Isa::fma(Isa::mul(d, Isa::set1(x[r]->scale)), Isa::to_float(dots[r][g]), sums[r][g]);
    }
  }
}

// sums(r, g) += the 32 products of one block.
template <class Isa, class Format, int kRows, int kGroups>
[[gnu::always_inline]] inline void add_block(const BlockAt& at, const uint8_t* body,
                                             const ActivationBlock* const* x,
                                             typename Isa::F (&sums)[kRows][kGroups]) {
  add_span<Isa, Format, 0, kRows, kGroups>(at, body, x, sums);
  if constexpr (Format::spans == 2) add_span<Isa, Format, 1, kRows, kGroups>(at, body, x, sums);
  if constexpr (Format::has_minimum) {
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) {
      const typename Isa::F m = Format::template minimum<Isa>(at, g);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) sums[r][g] = Isa::fma(m, Isa::set1(x[r]->scaled_sum), sums[r][g]);
    }
  }
}

template <class Isa, class Format, int kRows, int kGroups>
void quantised_tile(const TileArgs& t) {
  constexpr BlockFormat format = block_format(Format::dtype);
  const GroupView view = view_group(*t.weight, t.group);
  const uint32_t n_blocks = t.weight->n_in / kBlock;
  const uint8_t* head = view.head;
  const uint8_t* scales = view.scales;
  const uint8_t* body = view.body;
  Prefetch prefetch = t.prefetch;
  const ActivationBlock* x[kRows];
  typename Isa::F sums[kRows][kGroups];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    x[r] = static_cast<const ActivationBlock*>(t.x) + uint64_t{n_blocks} * static_cast<uint32_t>(r);
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) sums[r][g] = Isa::zero();
  }
  for (uint32_t b = 0; b < n_blocks; ++b) {
    if (prefetch.due()) {
      const uint8_t* ahead = body + prefetch.distance;
#pragma GCC unroll 32
      for (uint32_t line = 0; line < kGroups * format.body_bytes; line += 64) Isa::prefetch(ahead + line);
      const uint8_t* numbers = (format.scale_bytes != 0 ? scales : head) + prefetch.distance;
      constexpr uint32_t number_bytes = format.scale_bytes != 0 ? format.scale_bytes : format.head_bytes;
#pragma GCC unroll 4
      for (uint32_t line = 0; line < kGroups * number_bytes; line += 64) Isa::prefetch(numbers + line);
    }
    add_block<Isa, Format, kRows, kGroups>({head, scales, view.min_offset}, body, x, sums);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) ++x[r];
    if constexpr (format.blocks() == 1) {
      head += view.stride;
      body += view.stride;
    } else {
      // A superblock's last block is followed by the next one's f16 numbers.
      const bool last = b % format.blocks() == format.blocks() - 1;
      const uint64_t gap = view.stride - uint64_t{format.blocks()} * view.block_stride;
      const uint64_t step = view.block_stride + (last ? gap : 0);
      head += last ? view.stride : 0;
      scales += step;
      body += step;
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) finish<Isa>(t, r, g, sums[r][g]);
  }
}

template <class Isa, class Format>
struct QuantisedTile {
  static constexpr uint64_t x_row_bytes(const PackedMatrix& w) {
    return uint64_t{w.n_in / kBlock} * sizeof(ActivationBlock);
  }
  static constexpr int max_rows = Isa::quantised_rows;
  static constexpr int few_rows = Isa::quantised_few_rows;
  static constexpr int max_groups(int rows) { return Isa::quantised_groups(rows); }
  template <int kRows, int kGroups>
  static void run(const TileArgs& t) {
    quantised_tile<Isa, Format, kRows, kGroups>(t);
  }
};

// ---- plain weights ----

struct F16 {
  static constexpr uint32_t dtype = TENURE_F16;
  template <class Isa>
  static typename Isa::F load(const uint8_t* p) {
    return Isa::load_f16(p);
  }
};
struct Bf16 {
  static constexpr uint32_t dtype = TENURE_BF16;
  template <class Isa>
  static typename Isa::F load(const uint8_t* p) {
    return Isa::load_bf16(p);
  }
};
struct F32 {
  static constexpr uint32_t dtype = TENURE_F32;
  template <class Isa>
  static typename Isa::F load(const uint8_t* p) {
    return Isa::load(reinterpret_cast<const float*>(p));
  }
};

template <class Isa, class Format, int kRows, int kGroups>
void plain_tile(const TileArgs& t) {
  using F = typename Isa::F;
  constexpr uint32_t group_bytes = block_format(Format::dtype).body_bytes;
  const GroupView view = view_group(*t.weight, t.group);
  const uint32_t n_in = t.weight->n_in;
  const uint8_t* body = view.body;
  Prefetch prefetch = t.prefetch;
  const float* x[kRows];
  F sums[kRows][kGroups];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    x[r] = static_cast<const float*>(t.x) + uint64_t{n_in} * static_cast<uint32_t>(r);
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) sums[r][g] = Isa::zero();
  }
  for (uint32_t k = 0; k < n_in; ++k, body += view.stride) {
    if (prefetch.due()) {
#pragma GCC unroll 4
      for (uint32_t line = 0; line < kGroups * group_bytes; line += 64)
        Isa::prefetch(body + prefetch.distance + line);
    }
    F weights[kGroups];
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) weights[g] = Format::template load<Isa>(body + g * group_bytes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const F value = Isa::set1(x[r][k]);
#pragma GCC unroll 4
      for (int g = 0; g < kGroups; ++g) sums[r][g] = Isa::fma(weights[g], value, sums[r][g]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) finish<Isa>(t, r, g, sums[r][g]);
  }
}

template <class Isa, class Format>
struct PlainTile {
  static constexpr uint64_t x_row_bytes(const PackedMatrix& w) { return uint64_t{w.n_in} * sizeof(float); }
  static constexpr int max_rows = Isa::plain_rows;
  static constexpr int few_rows = Isa::plain_rows;
  static constexpr int max_groups(int) { return Isa::plain_groups; }
  template <int kRows, int kGroups>
  static void run(const TileArgs& t) {
    plain_tile<Isa, Format, kRows, kGroups>(t);
  }
};

// ---- cutting a task into tiles ----

template <class Tile, int kRows, int kGroups>
void run_groups(const TileArgs& t, int n_groups) {
  if (n_groups == kGroups) return Tile::template run<kRows, kGroups>(t);
  if constexpr (kGroups > 1) run_groups<Tile, kRows, kGroups - 1>(t, n_groups);
}

template <class Tile, int kRows>
void run_rows(const TileArgs& t, int n_rows, int n_groups) {
  if (n_rows == kRows) return run_groups<Tile, kRows, Tile::max_groups(kRows)>(t, n_groups);
  if constexpr (kRows > 1) run_rows<Tile, kRows - 1>(t, n_rows, n_groups);
}

// Up to so many rows memory is the limit, and flat tiles over whole panels read it best.
constexpr uint32_t kMemoryBoundRows = 16;

// Strips of output groups outside, tiles of rows inside: a strip's weights come from memory once and stay in
// L1/L2.
template <class Tile>
void linear(const LinearTask& task) {
  const uint64_t row_bytes = Tile::x_row_bytes(*task.weight);
  const uint32_t tile_rows = task.n_rows <= kMemoryBoundRows ? Tile::few_rows : Tile::max_rows;
  const uint32_t n_tiles = (task.n_rows + tile_rows - 1) / tile_rows;
  const int strip = Tile::max_groups(static_cast<int>((task.n_rows + n_tiles - 1) / n_tiles));
  const uint64_t distance = n_tiles == 1 ? kPrefetchBytes : kPanelGroups * task.weight->group_bytes();
  for (uint32_t group = task.group_begin; group < task.group_end;) {
    const uint32_t in_panel = kPanelGroups - group % kPanelGroups;
    const uint32_t left = task.group_end - group;
    uint32_t n_groups = static_cast<uint32_t>(strip);
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
                       .prefetch = {.distance = distance, .period = n_tiles, .countdown = tile + 1}};
      const int n_rows = static_cast<int>(end - row);
      run_rows<Tile, Tile::max_rows>(t, n_rows, static_cast<int>(n_groups));
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
