// The Tiles of tiles.h in plain C++: what TILELOADD, TDPBF16PS and TILESTORED do by Intel's manual, so that
// the kernels over them are tested where no machine has AMX. Only the intrinsics of hardware_tiles.h stay
// unproven there.
#pragma once

#include <cstdint>
#include <cstring>

#include "tiles.h"

namespace tenure::cpu {
namespace {

class EmulatedTiles {
 public:
  void fence() {}
  template <int i, int j>
  void clear() {
    std::memset(sums_[i][j], 0, sizeof sums_[i][j]);
  }
  template <int i>
  void load_rows(const uint8_t* p, uint64_t stride) {
    load(rows_[i], p, stride);
  }
  template <int j>
  void load_columns(const uint8_t* p, uint64_t stride) {
    load(columns_[j], p, stride);
  }
  template <int i, int j>
  void load_sums(const float* p, uint64_t stride) {
    load(sums_[i][j], reinterpret_cast<const uint8_t*>(p), stride);
  }
  template <int i, int j>
  void store_sums(float* p, uint64_t stride) {
    auto* to = reinterpret_cast<uint8_t*>(p);
    for (uint32_t line = 0; line < kTileLines; ++line)
      std::memcpy(to + line * stride, sums_[i][j][line], kTileLineBytes);
  }
  // TDPBF16PS: multiply-adds and the two additions round to nearest; denormals count and are given as zero.
  template <int i, int j>
  void multiply() {
    for (uint32_t m = 0; m < kTileLines; ++m) {
      float even[16] = {};
      float odd[16] = {};
      for (uint32_t k = 0; k < kTileLines; ++k) {
        const uint16_t* pair = rows_[i][m] + 2 * k;
        const uint16_t* columns = columns_[j][k];
        for (uint32_t n = 0; n < 16; ++n) {
          even[n] = flushed(__builtin_fmaf(widened(pair[0]), widened(columns[2 * n]), even[n]));
          odd[n] = flushed(__builtin_fmaf(widened(pair[1]), widened(columns[2 * n + 1]), odd[n]));
        }
      }
      float* sums = sums_[i][j][m];
      for (uint32_t n = 0; n < 16; ++n) sums[n] = flushed(flushed(sums[n]) + flushed(even[n] + odd[n]));
    }
  }

 private:
  template <class T, uint32_t n>
  static void load(T (&tile)[kTileLines][n], const uint8_t* p, uint64_t stride) {
    static_assert(sizeof(T) * n == kTileLineBytes);
    for (uint32_t line = 0; line < kTileLines; ++line)
      std::memcpy(tile[line], p + line * stride, kTileLineBytes);
  }
  static float flushed(float x) {
    return __builtin_fabsf(x) < __FLT_MIN__ ? __builtin_copysignf(0.0f, x) : x;
  }
  static float widened(uint16_t half) {
    const uint32_t bits = uint32_t{half} << 16;
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return flushed(x);
  }

  float sums_[2][2][kTileLines][16];
  uint16_t rows_[2][kTileLines][32];     // [16 rows][32 inputs]
  uint16_t columns_[2][kTileLines][32];  // [16 pairs of inputs][16 columns][2]
};

}  // namespace
}  // namespace tenure::cpu
