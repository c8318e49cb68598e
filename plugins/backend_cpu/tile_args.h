// What every tile of a matrix product takes, and how it ends. Included like linear_tile.h.
#pragma once

#include "kernels.h"
#include "read_ahead.h"

namespace tenure::cpu {
namespace {

// Several tiles of rows read the same panel: each fetches its share of the next one, so that memory is busy
// in all of them (7 % at 16 rows).
struct SharedPrefetch {
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
  SharedPrefetch prefetch;  // of a tile that does not stream
};

// Fetches kBytes.
template <class Isa, uint32_t kBytes>
[[gnu::always_inline]] inline void prefetch_lines(const uint8_t* p) {
#pragma GCC unroll 32
  for (uint32_t at = 0; at < kBytes; at += kLineBytes) Isa::prefetch(p + at);
}

// In a stream: fetches what comes some lines after line `line`, which is at p.
template <class Isa>
[[gnu::always_inline]] inline void prefetch_after(const uint8_t* p, uint32_t line) {
  Isa::prefetch(p + (line % 2 == 0 ? kReadAhead.even_lines : kReadAhead.odd_lines));
}

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

template <class Isa, int kRows, int kGroups>
[[gnu::always_inline]] inline void finish_all(const TileArgs& t,
                                              const typename Isa::F (&sums)[kRows][kGroups]) {
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) finish<Isa>(t, r, g, sums[r][g]);
  }
}

}  // namespace
}  // namespace tenure::cpu
