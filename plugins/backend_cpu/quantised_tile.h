// Tiles of quantised weights, written once over an instruction set `Isa`. Included like linear_tile.h.
#pragma once

#include <utility>

#include "quantised_formats.h"
#include "tile_args.h"

namespace tenure::cpu {
namespace {

// One word's products: dots(r, g) += weights(g) * x(r).
template <class Isa, class Format>
[[gnu::always_inline]] inline typename Isa::I add_dot(typename Isa::I sum, typename Isa::Bytes weights,
                                                      typename Isa::Broadcast x) {
  return Format::dtype == TENURE_Q8_0 ? Isa::dot_q8(sum, weights, x) : Isa::dot(sum, weights, x);
}

// dots(r, g) += the products of one span of a block: the steps of `kSteps`, counted from the span's first.
// Each word of x is broadcast once for all groups.
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
      for (int g = 0; g < kGroups; ++g) dots[r][g] = add_dot<Isa, Format>(dots[r][g], weights[g], four);
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

// sums(r, g) += what the minimum of group g adds; nothing in a format without one.
template <class Isa, class Format, int kRows, int kGroups>
[[gnu::always_inline]] inline void add_minimum(const BlockAt& at, const ActivationBlock* const* x, int g,
                                               typename Isa::F (&sums)[kRows][kGroups]) {
  if constexpr (Format::has_minimum) {
    const typename Isa::F m = Format::template minimum<Isa>(at, g);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) sums[r][g] = Isa::fma(m, Isa::set1(x[r]->scaled_sum), sums[r][g]);
  }
}

// sums(r, g) += the 32 products of one block.
template <class Isa, class Format, int kRows, int kGroups>
[[gnu::always_inline]] inline void add_block(const BlockAt& at, const uint8_t* body,
                                             const ActivationBlock* const* x,
                                             typename Isa::F (&sums)[kRows][kGroups]) {
  add_span<Isa, Format, 0, kRows, kGroups>(at, body, x, sums);
  if constexpr (Format::spans == 2) add_span<Isa, Format, 1, kRows, kGroups>(at, body, x, sums);
#pragma GCC unroll 4
  for (int g = 0; g < kGroups; ++g) add_minimum<Isa, Format>(at, x, g, sums);
}

// The same, group after group: a panel's lines are read in address order, and no more accumulators are alive
// than kRows. Each step fetches its share of what comes later.
template <class Isa, class Format, int kSpan, int kRows, int kGroups, int... kSteps>
[[gnu::always_inline]] inline void stream_span(const BlockAt& at, const uint8_t* body,
                                               const ActivationBlock* const* x, int g,
                                               typename Isa::F (&sums)[kRows][kGroups],
                                               std::integer_sequence<int, kSteps...>) {
  constexpr int n_lines = block_format(Format::dtype).body_bytes / kLineBytes;
  typename Isa::I dots[kRows];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) dots[r] = Format::template start<Isa>(*x[r], kSpan);
  const auto add_step = [&]<int kStep>(std::integral_constant<int, kStep>) __attribute__((always_inline)) {
    constexpr int line = kStep * n_lines / Format::n_steps;
    constexpr bool is_first = (kStep + 1) * n_lines / Format::n_steps > line;
    if constexpr (is_first) prefetch_after<Isa>(body + line * kLineBytes, line);
    const auto weights = Format::template values<Isa, kStep>(body);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const auto four = Isa::broadcast4(x[r]->q + 4 * Format::input_word(kStep));
      dots[r] = add_dot<Isa, Format>(dots[r], weights, four);
    }
  };
  (add_step(std::integral_constant<int, kSpan* static_cast<int>(sizeof...(kSteps)) + kSteps>{}), ...);
  const typename Isa::F d = Format::template scale<Isa>(at, g, kSpan);
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
    sums[r][g] = Isa::fma(Isa::mul(d, Isa::set1(x[r]->scale)), Isa::to_float(dots[r]), sums[r][g]);
}

template <class Isa, class Format, int kRows, int kGroups>
[[gnu::always_inline]] inline void stream_block(const BlockAt& at, const uint8_t* body,
                                                const ActivationBlock* const* x,
                                                typename Isa::F (&sums)[kRows][kGroups]) {
  constexpr auto steps = std::make_integer_sequence<int, Format::n_steps / Format::spans>{};
#pragma GCC unroll 4
  for (int g = 0; g < kGroups; ++g, body += block_format(Format::dtype).body_bytes) {
    stream_span<Isa, Format, 0, kRows, kGroups>(at, body, x, g, sums, steps);
    if constexpr (Format::spans == 2)
      stream_span<Isa, Format, 1, kRows, kGroups>(at, body, x, g, sums, steps);
    add_minimum<Isa, Format>(at, x, g, sums);
  }
}

// kStreams: no other tile reads these weights.
template <class Isa, class Format, bool kStreams, int kRows, int kGroups>
void quantised_tile(const TileArgs& t) {
  constexpr BlockFormat format = block_format(Format::dtype);
  constexpr uint32_t number_bytes = format.scale_bytes != 0 ? format.scale_bytes : format.head_bytes;
  const GroupView view = view_group(*t.weight, t.group);
  const uint32_t n_blocks = t.weight->n_in / kBlock;
  const uint8_t* head = view.head;
  const uint8_t* scales = view.scales;
  const uint8_t* body = view.body;
  SharedPrefetch prefetch = t.prefetch;
  const ActivationBlock* x[kRows];
  typename Isa::F sums[kRows][kGroups];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    x[r] = static_cast<const ActivationBlock*>(t.x) + uint64_t{n_blocks} * static_cast<uint32_t>(r);
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) sums[r][g] = Isa::zero();
  }
  for (uint32_t b = 0; b < n_blocks; ++b) {
    const BlockAt at{head, scales, view.min_offset};
    const uint8_t* numbers = format.scale_bytes != 0 ? scales : head;
    if constexpr (kStreams) {
      prefetch_lines<Isa, kGroups * number_bytes>(numbers + kReadAhead.even_lines);
      stream_block<Isa, Format, kRows, kGroups>(at, body, x, sums);
    } else {
      if (prefetch.due()) {
        prefetch_lines<Isa, kGroups * format.body_bytes>(body + prefetch.distance);
        prefetch_lines<Isa, kGroups * number_bytes>(numbers + prefetch.distance);
      }
      add_block<Isa, Format, kRows, kGroups>(at, body, x, sums);
    }
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
  finish_all<Isa>(t, sums);
}

template <class Isa, class Format>
struct QuantisedTile {
  static constexpr uint64_t x_row_bytes(const PackedMatrix& w) {
    return uint64_t{w.n_in / kBlock} * sizeof(ActivationBlock);
  }
  static constexpr int max_rows = Isa::quantised_rows;
  static constexpr int few_rows = Isa::quantised_few_rows;
  static constexpr int stream_rows = Isa::quantised_stream_rows;
  static constexpr int max_groups(int rows) { return Isa::quantised_groups(rows); }
  template <bool kStreams, int kRows, int kGroups>
  static void run(const TileArgs& t) {
    quantised_tile<Isa, Format, kStreams, kRows, kGroups>(t);
  }
};

}  // namespace
}  // namespace tenure::cpu
