// bf16: the upper half of an f32. What features are kept as.
#pragma once

#include <bit>
#include <cstdint>

namespace tenure {

// Round to nearest, ties to even; of finite values.
inline void to_bfloat16(const float* x, uint64_t n, uint16_t* out) {
  for (uint64_t i = 0; i < n; ++i) {
    const auto bits = std::bit_cast<uint32_t>(x[i]);
    out[i] = static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
  }
}

inline float from_bfloat16(uint16_t x) { return std::bit_cast<float>(uint32_t{x} << 16); }

}  // namespace tenure
