// Tiles of f16, bf16 and f32 weights, written once over an instruction set `Isa`. Included like
// linear_tile.h.
#pragma once

#include "tile_args.h"

namespace tenure::cpu {
namespace {

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

template <class Isa, class Format, bool kStreams, int kRows, int kGroups>
void plain_tile(const TileArgs& t) {
  using F = typename Isa::F;
  constexpr uint32_t group_bytes = block_format(Format::dtype).body_bytes;
  const GroupView view = view_group(*t.weight, t.group);
  const uint32_t n_in = t.weight->n_in;
  const uint8_t* body = view.body;
  SharedPrefetch prefetch = t.prefetch;
  const float* x[kRows];
  F sums[kRows][kGroups];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    x[r] = static_cast<const float*>(t.x) + uint64_t{n_in} * static_cast<uint32_t>(r);
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) sums[r][g] = Isa::zero();
  }
  for (uint32_t k = 0; k < n_in; ++k, body += view.stride) {
    if constexpr (kStreams) {
#pragma GCC unroll 4
      for (uint32_t line = 0; line * kLineBytes < kGroups * group_bytes; ++line)
        prefetch_after<Isa>(body + line * kLineBytes, line);
    } else if (prefetch.due()) {
      prefetch_lines<Isa, kGroups * group_bytes>(body + prefetch.distance);
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
  finish_all<Isa>(t, sums);
}

template <class Isa, class Format>
struct PlainTile {
  static constexpr uint64_t x_row_bytes(const PackedMatrix& w) { return uint64_t{w.n_in} * sizeof(float); }
  static constexpr int max_rows = Isa::plain_rows;
  static constexpr int few_rows = Isa::plain_rows;
  static constexpr int stream_rows = Isa::plain_stream_rows;
  static constexpr int max_groups(int) { return Isa::plain_groups; }
  template <bool kStreams, int kRows, int kGroups>
  static void run(const TileArgs& t) {
    plain_tile<Isa, Format, kStreams, kRows, kGroups>(t);
  }
};

}  // namespace
}  // namespace tenure::cpu
