// e^x as arithmetic that compilers make vectors of: softmax over every token of a document for every label row is the larger
// part of making labels.
#pragma once

#include <bit>
#include <cstdint>

namespace tenure {

// For x from -1e9 to 0; 0 below -87, which is nothing beside the largest term of a softmax, 1. Relative error below 1e-6. No
// comparison of floats: those may trap, and compilers leave the loop as it is.
inline float exponential(float x) {
  const auto rounded = static_cast<int32_t>(x * 1.44269504f - 0.5f);  // to the nearest: a cast cuts towards zero
  const auto turns = static_cast<float>(rounded);
  const float rest = (x - turns * 0.693359375f) + turns * 2.12194440e-4f;  // ln 2 in two parts
  // Taylor to the sixth power: |rest| <= ln 2 / 2
  float sum = 1.3888889e-3f;
  sum = sum * rest + 8.3333333e-3f;
  sum = sum * rest + 4.1666667e-2f;
  sum = sum * rest + 0.16666667f;
  sum = sum * rest + 0.5f;
  sum = sum * rest + 1.0f;
  sum = sum * rest + 1.0f;
  const int32_t exponent = rounded + 127;
  return sum * std::bit_cast<float>((exponent > 0 ? exponent : 0) << 23);
}

}  // namespace tenure
