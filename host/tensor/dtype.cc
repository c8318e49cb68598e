#include "tensor/dtype.h"

#include <bit>

namespace tenure {

const DtypeInfo& info(Dtype dtype) {
  static constexpr DtypeInfo table[] = {
      {"f32", 1, 4},      {"f16", 1, 2},      {"bf16", 1, 2},     {"q8_0", 32, 34}, {"q4_0", 32, 18},
      {"q4_1", 32, 20},   {"i32", 1, 4},      {"u8", 1, 1},       {"q5_0", 32, 22}, {"q5_1", 32, 24},
      {"q4_k", 256, 144}, {"q5_k", 256, 176}, {"q6_k", 256, 210},
  };
  return table[static_cast<uint32_t>(dtype)];
}

std::optional<uint64_t> checked_bytes(Dtype dtype, uint64_t elements) {
  const DtypeInfo& d = info(dtype);
  if (elements % d.block_elements != 0) return std::nullopt;
  uint64_t bytes = 0;
  if (__builtin_mul_overflow(elements / d.block_elements, uint64_t{d.block_bytes}, &bytes))
    return std::nullopt;
  return bytes;
}

float f16_to_f32(uint16_t h) {
  const uint32_t sign = uint32_t{h} >> 15 << 31;
  const uint32_t exponent = h >> 10 & 31;
  const uint32_t mantissa = h & 1023;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | mantissa << 13);
  if (exponent == 0) {
    const float value = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -value : value;
  }
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
}

uint16_t f32_to_f16(float f) {
  const uint32_t bits = std::bit_cast<uint32_t>(f);
  const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude >= 0x47800000) {  // 65536 and above, infinity, NaN
    return static_cast<uint16_t>(sign | (magnitude > 0x7f800000 ? 0x7e00 : 0x7c00));
  }
  if (magnitude < 0x38800000) {  // subnormal: let the adder round, 2^-24 is the unit
    const float scaled = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(scaled) - std::bit_cast<uint32_t>(0.5f)));
  }
  const uint32_t odd = magnitude >> 13 & 1;
  return static_cast<uint16_t>(sign | ((magnitude - 0x38000000 + 0xfff + odd) >> 13));
}

}  // namespace tenure
