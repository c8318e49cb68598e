// Counter-based random numbers: a draw is a pure function of (key, step), so neither batch order nor a resume
// can change it. Philox4x32-10: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC
// 2011.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace tenure {

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// Uniform in [0, 1), a multiple of 2^-53.
double uniform(uint64_t key, uint64_t step);

// The key of one row's draws. Stable across machines and releases: results of old seeds must stay
// reproducible. FNV-1a 64 over seed (8 bytes, little-endian), the lengths (8 bytes each) and bytes of `id`
// and `cell`, and `sample` (4 bytes), finished by the mixer of splitmix64.
uint64_t seed_key(uint64_t seed, std::string_view id, std::string_view cell, uint32_t sample);

}  // namespace tenure
