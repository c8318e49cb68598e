// e^x as arithmetic that compilers make vectors of: softmax over every token of a document for every label row is the larger
// part of making labels.
#pragma once

#include <bit>
#include <cstdint>

namespace tenure {

// For x <= 0; below -87 the result is that of -87, which is nothing beside the largest term of a softmax, 1. Relative error
// below 1e-6.
inline float exponential(float x) {
  x = x < -87.0f ? -87.0f : x;
  const float turns = x * 1.44269504f;
  const float rounded = static_cast<float>(static_cast<int32_t>(turns - 0.5f));  // towards zero of what is negative: nearest
  const float rest = (x - rounded * 0.693359375f) + rounded * 2.12194440e-4f;   // ln 2 in two parts
  // Taylor to the sixth power: |rest| <= ln 2 / 2
  float sum = 1.3888889e-3f;
  sum = sum * rest + 8.3333333e-3f;
  sum = sum * rest + 4.1666667e-2f;
  sum = sum * rest + 0.16666667f;
  sum = sum * rest + 0.5f;
  sum = sum * rest + 1.0f;
  sum = sum * rest + 1.0f;
  const int32_t exponent = (static_cast<int32_t>(rounded) + 127) << 23;
  return sum * std::bit_cast<float>(exponent);
}

}  // namespace tenure
