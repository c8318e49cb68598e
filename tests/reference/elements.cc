#include "reference/elements.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace tenure::reference {
namespace {

constexpr size_t block = 32;

// The nearest value with `digits` binary digits and exponents of `lowest` and more, ties to even.
double nearest(double x, int digits, int lowest) {
  if (x == 0 || !std::isfinite(x)) return x;
  int exponent = 0;
  std::frexp(x, &exponent);
  const int unit = std::max(exponent, lowest) - digits;
  return std::ldexp(std::nearbyint(std::ldexp(x, -unit)), unit);
}

uint16_t f16_bits(double x) {
  const double size = std::abs(nearest(x, 11, -13));
  const uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  if (std::isnan(x)) return 0x7e00;
  if (size >= 65536) return sign | 0x7c00;
  if (size < std::ldexp(1, -14)) return sign | static_cast<uint16_t>(std::ldexp(size, 24));
  const int exponent = std::ilogb(size);
  const auto fraction = static_cast<uint16_t>(std::ldexp(size, 10 - exponent) - 1024);
  return static_cast<uint16_t>(sign | (exponent + 15) << 10 | fraction);
}

double f16_value(uint16_t bits) {
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  const int exponent = bits >> 10 & 31;
  const double fraction = bits & 1023;
  if (exponent == 31) return fraction == 0 ? sign * HUGE_VAL : std::numeric_limits<double>::quiet_NaN();
  return exponent == 0 ? sign * std::ldexp(fraction, -24) : sign * std::ldexp(1024 + fraction, exponent - 25);
}

void put(std::vector<std::byte>& bytes, const void* from, size_t n) {
  const auto* first = static_cast<const std::byte*>(from);
  bytes.insert(bytes.end(), first, first + n);
}

void put_f16(std::vector<std::byte>& bytes, double x) {
  const uint16_t bits = f16_bits(x);
  put(bytes, &bits, 2);
}

uint8_t code(double x, double lowest, double highest) {
  return static_cast<uint8_t>(static_cast<int>(std::clamp(std::nearbyint(x), lowest, highest)));
}

void encode_block(uint32_t dtype, std::span<const double> x, std::vector<std::byte>& bytes) {
  const auto [low, high] = std::minmax_element(x.begin(), x.end());
  const double largest = std::max(std::abs(*low), std::abs(*high));
  double scale = 0;
  double minimum = 0;
  if (dtype == TENURE_Q8_0) scale = nearest(largest / 127, 11, -13);
  if (dtype == TENURE_Q4_0) scale = nearest((largest == *high ? *high : *low) / -8, 11, -13);
  if (dtype == TENURE_Q4_1) {
    scale = nearest((*high - *low) / 15, 11, -13);
    minimum = nearest(*low, 11, -13);
  }
  const double inverse = scale == 0 ? 0 : 1 / scale;
  put_f16(bytes, scale);
  if (dtype == TENURE_Q4_1) put_f16(bytes, minimum);
  if (dtype == TENURE_Q8_0) {
    for (double v : x) bytes.push_back(static_cast<std::byte>(code(v * inverse, -127, 127)));
    return;
  }
  const double zero = dtype == TENURE_Q4_0 ? 8 : 0;
  for (size_t i = 0; i < block / 2; ++i) {
    const uint8_t lower = code((x[i] - minimum) * inverse + zero, 0, 15);
    const uint8_t upper = code((x[i + block / 2] - minimum) * inverse + zero, 0, 15);
    bytes.push_back(static_cast<std::byte>(upper << 4 | lower));
  }
}

void decode_block(uint32_t dtype, const std::byte* at, std::vector<double>& values) {
  const auto f16_at = [&](size_t offset) {
    uint16_t bits;
    std::memcpy(&bits, at + offset, 2);
    return f16_value(bits);
  };
  const double scale = f16_at(0);
  const double minimum = dtype == TENURE_Q4_1 ? f16_at(2) : 0;
  const std::byte* codes = at + (dtype == TENURE_Q4_1 ? 4 : 2);
  for (size_t i = 0; i < block; ++i) {
    if (dtype == TENURE_Q8_0) {
      values.push_back(scale * static_cast<int8_t>(codes[i]));
      continue;
    }
    const auto both = static_cast<unsigned>(codes[i % (block / 2)]);
    const double nibble = i < block / 2 ? both & 15 : both >> 4;
    values.push_back(dtype == TENURE_Q4_0 ? scale * (nibble - 8) : scale * nibble + minimum);
  }
}

size_t block_bytes(uint32_t dtype) {
  if (dtype == TENURE_Q8_0) return 34;
  return dtype == TENURE_Q4_0 ? 18 : 20;
}

}  // namespace

double kept(uint32_t dtype, double x) {
  if (dtype == TENURE_F16) return f16_value(f16_bits(x));
  return dtype == TENURE_BF16 ? nearest(x, 8, -125) : static_cast<float>(x);
}

std::vector<std::byte> encode(uint32_t dtype, std::span<const double> values) {
  std::vector<std::byte> bytes;
  for (size_t i = 0; i < values.size(); ++i) {
    const auto single = static_cast<float>(dtype == TENURE_BF16 ? kept(TENURE_BF16, values[i]) : values[i]);
    if (dtype == TENURE_F32) {
      put(bytes, &single, 4);
    } else if (dtype == TENURE_F16) {
      put_f16(bytes, values[i]);
    } else if (dtype == TENURE_BF16) {
      put(bytes, reinterpret_cast<const std::byte*>(&single) + 2, 2);
    } else if (i % block == 0) {
      encode_block(dtype, values.subspan(i, block), bytes);
    }
  }
  return bytes;
}

std::vector<double> decode(uint32_t dtype, std::span<const std::byte> bytes) {
  std::vector<double> values;
  if (dtype == TENURE_F32 || dtype == TENURE_BF16) {
    const size_t width = dtype == TENURE_F32 ? 4 : 2;
    for (size_t i = 0; i < bytes.size(); i += width) {
      float value = 0;
      std::memcpy(reinterpret_cast<std::byte*>(&value) + (4 - width), bytes.data() + i, width);
      values.push_back(value);
    }
  } else if (dtype == TENURE_F16) {
    for (size_t i = 0; i < bytes.size(); i += 2) {
      uint16_t bits;
      std::memcpy(&bits, bytes.data() + i, 2);
      values.push_back(f16_value(bits));
    }
  } else {
    for (size_t i = 0; i < bytes.size(); i += block_bytes(dtype))
      decode_block(dtype, bytes.data() + i, values);
  }
  return values;
}

}  // namespace tenure::reference
