// The numbers that kept_sets.py and locret_kept_sets.py draw, bit by bit.
#pragma once

#include <cstdint>
#include <vector>

namespace tenure {

inline uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// As floats() there, and a factor that is a power of two: exact in f32.
inline std::vector<float> floats(uint64_t stream, size_t n, float factor = 1) {
  std::vector<float> result(n);
  for (size_t i = 0; i < n; ++i) {
    const uint64_t bits = mix(i + stream * 0x9e3779b97f4a7c15u);
    double sum = 0;
    for (int part = 0; part < 4; ++part) sum += static_cast<double>((bits >> (16 * part)) & 0xffff);
    result[i] = static_cast<float>(sum / 65536 - 2) * factor;
  }
  return result;
}

}  // namespace tenure
