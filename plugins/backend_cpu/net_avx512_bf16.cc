#include <immintrin.h>

#include "net_products.h"

namespace tenure::cpu {
namespace {

constexpr uint32_t kGroup = 16;
constexpr uint32_t kPanel = 4;
constexpr int kRows = 6;  // x 4 groups of sums, 4 weights and a broadcast are 29 of 32 registers

__mmask16 first(uint32_t n) {
  return static_cast<__mmask16>(n >= 16 ? 0xffff : (1u << n) - 1);
}

void narrow(const float* x, uint32_t n, uint16_t* out) {
  for (uint32_t i = 0; i < n; i += 16) {
    const __mmask16 here = first(n - i);
    const __m256bh narrowed = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(here, x + i));
    _mm256_mask_storeu_epi16(out + i, here, reinterpret_cast<__m256i>(narrowed));
  }
}

struct Place {
  const uint16_t* weights;  // the panel's
  uint32_t output;          // its first one
};

// Pairs are added up one after the other, so a row's bits do not depend on the rows beside it.
template <int kTileRows, int kGroups>
void tile(const PairTask& task, const Place& place, uint32_t row) {
  const uint32_t n_pairs = task.weight->n_pairs;
  const uint16_t* x = task.x + uint64_t{row} * 2 * n_pairs;
  const uint16_t* weights = place.weights;
  __m512 sums[kTileRows][kGroups];
#pragma GCC unroll 6
  for (int r = 0; r < kTileRows; ++r) {
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) sums[r][g] = _mm512_setzero_ps();
  }
  for (uint32_t pair = 0; pair < n_pairs; ++pair, weights += kGroups * 2 * kGroup) {
    __m512i columns[kGroups];
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) columns[g] = _mm512_load_si512(weights + g * 2 * kGroup);
#pragma GCC unroll 6
    for (int r = 0; r < kTileRows; ++r) {
      int32_t both;
      __builtin_memcpy(&both, x + uint64_t{static_cast<uint32_t>(r)} * 2 * n_pairs + 2 * pair, sizeof both);
      const __m512i value = _mm512_set1_epi32(both);
#pragma GCC unroll 4
      for (int g = 0; g < kGroups; ++g) {
        sums[r][g] = _mm512_dpbf16_ps(sums[r][g], reinterpret_cast<__m512bh>(columns[g]), reinterpret_cast<__m512bh>(value));
      }
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < kTileRows; ++r) {
    float* out = task.out + uint64_t{row + static_cast<uint32_t>(r)} * task.weight->n_out + place.output;
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) {
      const uint32_t output = place.output + static_cast<uint32_t>(g) * kGroup;
      const __mmask16 here = first(task.weight->n_out - output);
      if (task.bias) sums[r][g] = _mm512_add_ps(sums[r][g], _mm512_maskz_loadu_ps(here, task.bias + output));
      _mm512_mask_storeu_ps(out + g * kGroup, here, sums[r][g]);
    }
  }
}

template <int kGroups>
void panel(const PairTask& task, const Place& place) {
  uint32_t row = 0;
  for (; row + kRows <= task.n_rows; row += kRows) tile<kRows, kGroups>(task, place, row);
  switch (task.n_rows - row) {
    case 5:
      return tile<5, kGroups>(task, place, row);
    case 4:
      return tile<4, kGroups>(task, place, row);
    case 3:
      return tile<3, kGroups>(task, place, row);
    case 2:
      return tile<2, kGroups>(task, place, row);
    case 1:
      return tile<1, kGroups>(task, place, row);
    default:
      return;
  }
}

void linear(const PairTask& task) {
  const PairMatrix& weight = *task.weight;
  const uint32_t n_groups = (weight.n_out + kGroup - 1) / kGroup;
  const uint16_t* weights = weight.data;
  for (uint32_t group = 0; group < n_groups; group += kPanel) {
    const Place place{weights, group * kGroup};
    const uint32_t n = n_groups - group < kPanel ? n_groups - group : kPanel;
    weights += uint64_t{weight.n_pairs} * n * 2 * kGroup;
    if (n == 4) panel<4>(task, place);
    if (n == 3) panel<3>(task, place);
    if (n == 2) panel<2>(task, place);
    if (n == 1) panel<1>(task, place);
  }
}

}  // namespace

const PairProducts kAvx512PairProducts = {.narrow = narrow, .linear = linear};

}  // namespace tenure::cpu
