// AMX registers as the Tiles of tiles.h: sums in tiles 0 to 3, rows in 4 and 5, columns in 6 and 7.
#pragma once

#include <immintrin.h>

#include "tiles.h"

namespace tenure::cpu {
namespace {

struct alignas(64) TileConfig {
  uint8_t palette;
  uint8_t start_row;
  uint8_t reserved[14];
  uint16_t line_bytes[16];
  uint8_t lines[16];
};
static_assert(sizeof(TileConfig) == 64);
// In memory for good: the intrinsic tells the compiler of eight bytes only.
constexpr TileConfig kTileConfig = {.palette = 1,
                                    .start_row = 0,
                                    .reserved = {},
                                    .line_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
                                    .lines = {16, 16, 16, 16, 16, 16, 16, 16}};

// Configured a kernel call, on whichever worker runs it: tens of cycles against microseconds of products, and
// an idle worker has no tile state for the system to save.
class HardwareTiles {
 public:
  HardwareTiles() { _tile_loadconfig(&kTileConfig); }
  ~HardwareTiles() { _tile_release(); }
  HardwareTiles(const HardwareTiles&) = delete;
  HardwareTiles& operator=(const HardwareTiles&) = delete;

  // GCC's tile loads do not say that they read memory.
  void fence() { asm volatile("" ::: "memory"); }

  // The intrinsics paste the tile's number into an instruction, so each needs a literal.
  template <int i, int j>
  void clear() {
    if constexpr (i == 0 && j == 0) _tile_zero(0);
    if constexpr (i == 0 && j == 1) _tile_zero(1);
    if constexpr (i == 1 && j == 0) _tile_zero(2);
    if constexpr (i == 1 && j == 1) _tile_zero(3);
  }
  template <int i>
  void load_rows(const uint8_t* p, uint64_t stride) {
    if constexpr (i == 0) _tile_loadd(4, p, stride);
    if constexpr (i == 1) _tile_loadd(5, p, stride);
  }
  template <int j>
  void load_columns(const uint8_t* p, uint64_t stride) {
    if constexpr (j == 0) _tile_loadd(6, p, stride);
    if constexpr (j == 1) _tile_loadd(7, p, stride);
  }
  template <int i, int j>
  void load_sums(const float* p, uint64_t stride) {
    if constexpr (i == 0 && j == 0) _tile_loadd(0, p, stride);
    if constexpr (i == 0 && j == 1) _tile_loadd(1, p, stride);
    if constexpr (i == 1 && j == 0) _tile_loadd(2, p, stride);
    if constexpr (i == 1 && j == 1) _tile_loadd(3, p, stride);
  }
  template <int i, int j>
  void store_sums(float* p, uint64_t stride) {
    if constexpr (i == 0 && j == 0) _tile_stored(0, p, stride);
    if constexpr (i == 0 && j == 1) _tile_stored(1, p, stride);
    if constexpr (i == 1 && j == 0) _tile_stored(2, p, stride);
    if constexpr (i == 1 && j == 1) _tile_stored(3, p, stride);
  }
  template <int i, int j>
  void multiply() {
    if constexpr (i == 0 && j == 0) _tile_dpbf16ps(0, 4, 6);
    if constexpr (i == 0 && j == 1) _tile_dpbf16ps(1, 4, 7);
    if constexpr (i == 1 && j == 0) _tile_dpbf16ps(2, 5, 6);
    if constexpr (i == 1 && j == 1) _tile_dpbf16ps(3, 5, 7);
  }
};

}  // namespace
}  // namespace tenure::cpu
