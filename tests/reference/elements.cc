#include "reference/elements.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace tenure::reference {
namespace {

// Elements of a quantised block.
size_t block_elements(uint32_t dtype) {
  return dtype == TENURE_Q4_K || dtype == TENURE_Q5_K || dtype == TENURE_Q6_K ? 256 : 32;
}

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

int code(double x, int lowest, int highest) {
  return static_cast<int>(std::clamp(std::nearbyint(x), double(lowest), double(highest)));
}

double f16_at(const std::byte* at) {
  uint16_t bits;
  std::memcpy(&bits, at, 2);
  return f16_value(bits);
}

std::byte byte(int value) {
  return static_cast<std::byte>(value);
}

double over(double x, double unit) {
  return unit == 0 ? 0 : x / unit;
}

// The value largest in size, with its sign.
double extreme(std::span<const double> x) {
  const auto [low, high] = std::minmax_element(x.begin(), x.end());
  return std::abs(*low) > std::abs(*high) ? *low : *high;
}

// ---- blocks of 32 ----

struct Format32 {
  int levels;        // codes 0 .. levels - 1; Q8_0: signed bytes
  bool has_minimum;  // f16 minimum after the f16 scale
  bool has_fifth;    // 4 bytes of fifth bits before the nibbles
};

Format32 format_32(uint32_t dtype) {
  switch (dtype) {
    case TENURE_Q8_0:
      return {256, false, false};
    case TENURE_Q4_0:
      return {16, false, false};
    case TENURE_Q4_1:
      return {16, true, false};
    case TENURE_Q5_0:
      return {32, false, true};
    default:
      return {32, true, true};
  }
}

void encode_32(uint32_t dtype, std::span<const double> x, std::vector<std::byte>& bytes) {
  const Format32 format = format_32(dtype);
  const auto [low, high] = std::minmax_element(x.begin(), x.end());
  const double minimum = format.has_minimum ? nearest(*low, 11, -13) : 0;
  const double range = format.has_minimum     ? (*high - *low) / (format.levels - 1)
                       : dtype == TENURE_Q8_0 ? std::abs(extreme(x)) / 127
                                              : extreme(x) / (-format.levels / 2);
  const double scale = nearest(range, 11, -13);
  put_f16(bytes, scale);
  if (format.has_minimum) put_f16(bytes, minimum);
  if (dtype == TENURE_Q8_0) {
    for (double v : x) bytes.push_back(byte(code(over(v, scale), -127, 127)));
    return;
  }
  const int zero = format.has_minimum ? 0 : format.levels / 2;
  int codes[32];
  for (size_t i = 0; i < 32; ++i) {
    codes[i] = code(over(x[i] - minimum, scale) + zero, 0, format.levels - 1);
  }
  for (size_t i = 0; format.has_fifth && i < 32; i += 8) {
    int fifth = 0;
    for (size_t bit = 0; bit < 8; ++bit) fifth += codes[i + bit] / 16 << bit;
    bytes.push_back(byte(fifth));
  }
  for (size_t i = 0; i < 16; ++i) bytes.push_back(byte(codes[i + 16] % 16 * 16 + codes[i] % 16));
}

void decode_32(uint32_t dtype, const std::byte* at, std::vector<double>& values) {
  const Format32 format = format_32(dtype);
  const double scale = f16_at(at);
  const double minimum = format.has_minimum ? f16_at(at + 2) : 0;
  const std::byte* fifth = at + (format.has_minimum ? 4 : 2);
  const std::byte* codes = fifth + (format.has_fifth ? 4 : 0);
  const int zero = format.has_minimum ? 0 : format.levels / 2;
  for (size_t i = 0; i < 32; ++i) {
    if (dtype == TENURE_Q8_0) {
      values.push_back(scale * static_cast<int8_t>(codes[i]));
      continue;
    }
    const int both = static_cast<int>(codes[i % 16]);
    int value = i < 16 ? both % 16 : both / 16;
    if (format.has_fifth && (static_cast<int>(fifth[i / 8]) >> i % 8) % 2 == 1) value += 16;
    values.push_back(scale * (value - zero) + minimum);
  }
}

// ---- Q4_K, Q5_K: eight blocks of 32 with scales and minima of 6 bits ----

// Small numbers i = 0..7 of a superblock: scales first, then minima.
void put_small(std::vector<std::byte>& bytes, const int (&scales)[8], const int (&minima)[8]) {
  for (int i = 0; i < 4; ++i) bytes.push_back(byte(scales[i] + scales[i + 4] / 16 * 64));
  for (int i = 0; i < 4; ++i) bytes.push_back(byte(minima[i] + minima[i + 4] / 16 * 64));
  for (int i = 4; i < 8; ++i) bytes.push_back(byte(scales[i] % 16 + minima[i] % 16 * 16));
}

int small_at(const std::byte* packed, int i, bool minimum) {
  const auto at = [&](int k) { return static_cast<int>(packed[k]); };
  const int row = minimum ? 4 : 0;
  if (i < 4) return at(row + i) % 64;
  return (minimum ? at(4 + i) / 16 : at(4 + i) % 16) + at(row + i - 4) / 64 * 16;
}

void encode_k(uint32_t dtype, std::span<const double> x, std::vector<std::byte>& bytes) {
  const int highest = dtype == TENURE_Q5_K ? 31 : 15;
  double scales[8], minima[8];
  for (size_t b = 0; b < 8; ++b) {
    const auto [low, high] = std::minmax_element(x.begin() + 32 * b, x.begin() + 32 * (b + 1));
    minima[b] = std::max(-*low, 0.0);
    scales[b] = (*high + minima[b]) / highest;
  }
  const double d = nearest(*std::max_element(scales, scales + 8) / 63, 11, -13);
  const double dmin = nearest(*std::max_element(minima, minima + 8) / 63, 11, -13);
  int small_scales[8], small_minima[8], codes[256];
  for (size_t b = 0; b < 8; ++b) {
    small_scales[b] = code(over(scales[b], d), 0, 63);
    small_minima[b] = code(over(minima[b], dmin), 0, 63);
    for (size_t i = 32 * b; i < 32 * (b + 1); ++i)
      codes[i] = code(over(x[i] + dmin * small_minima[b], d * small_scales[b]), 0, highest);
  }
  put_f16(bytes, d);
  put_f16(bytes, dmin);
  put_small(bytes, small_scales, small_minima);
  for (size_t k = 0; dtype == TENURE_Q5_K && k < 32; ++k) {
    int fifth = 0;
    for (size_t b = 0; b < 8; ++b) fifth += codes[32 * b + k] / 16 << b;
    bytes.push_back(byte(fifth));
  }
  for (size_t b = 0; b < 8; b += 2) {
    for (size_t k = 32 * b; k < 32 * (b + 1); ++k)
      bytes.push_back(byte(codes[k] % 16 + codes[k + 32] % 16 * 16));
  }
}

void decode_k(uint32_t dtype, const std::byte* at, std::vector<double>& values) {
  const double d = f16_at(at);
  const double dmin = f16_at(at + 2);
  const std::byte* codes = at + (dtype == TENURE_Q5_K ? 48 : 16);
  for (int i = 0; i < 256; ++i) {
    const int b = i / 32, k = i % 32;
    const int both = static_cast<int>(codes[b / 2 * 32 + k]);
    int value = b % 2 == 0 ? both % 16 : both / 16;
    if (dtype == TENURE_Q5_K && (static_cast<int>(at[16 + k]) >> b) % 2 == 1) value += 16;
    values.push_back(d * small_at(at + 4, b, false) * value - dmin * small_at(at + 4, b, true));
  }
}

// ---- Q6_K: sixteen blocks of 16 with signed scales of a byte ----

void encode_q6_k(std::span<const double> x, std::vector<std::byte>& bytes) {
  double scales[16];
  for (size_t b = 0; b < 16; ++b) scales[b] = extreme(x.subspan(16 * b, 16)) / -32;
  const double d = nearest(extreme(scales) / -128, 11, -13);
  int small[16], codes[256];
  for (size_t b = 0; b < 16; ++b) {
    small[b] = code(over(scales[b], d), -128, 127);
    for (size_t i = 16 * b; i < 16 * (b + 1); ++i) codes[i] = code(over(x[i], d * small[b]) + 32, 0, 63);
  }
  for (size_t half = 0; half < 256; half += 128) {
    for (size_t k = half; k < half + 64; ++k) bytes.push_back(byte(codes[k] % 16 + codes[k + 64] % 16 * 16));
  }
  for (size_t half = 0; half < 256; half += 128) {
    for (size_t k = half; k < half + 32; ++k) {
      bytes.push_back(
          byte(codes[k] / 16 + codes[k + 32] / 16 * 4 + codes[k + 64] / 16 * 16 + codes[k + 96] / 16 * 64));
    }
  }
  for (int scale : small) bytes.push_back(byte(scale));
  put_f16(bytes, d);
}

void decode_q6_k(const std::byte* at, std::vector<double>& values) {
  const double d = f16_at(at + 208);
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128, k = i % 128;
    const int both = static_cast<int>(at[64 * half + k % 64]);
    const int pairs = static_cast<int>(at[128 + 32 * half + k % 32]);
    const int value = (k < 64 ? both % 16 : both / 16) + (pairs >> k / 32 * 2) % 4 * 16;
    values.push_back(d * static_cast<int8_t>(at[192 + i / 16]) * (value - 32));
  }
}

// ---- by type ----

void encode_block(uint32_t dtype, std::span<const double> x, std::vector<std::byte>& bytes) {
  if (dtype == TENURE_Q6_K) return encode_q6_k(x, bytes);
  block_elements(dtype) == 256 ? encode_k(dtype, x, bytes) : encode_32(dtype, x, bytes);
}

void decode_block(uint32_t dtype, const std::byte* at, std::vector<double>& values) {
  if (dtype == TENURE_Q6_K) return decode_q6_k(at, values);
  block_elements(dtype) == 256 ? decode_k(dtype, at, values) : decode_32(dtype, at, values);
}

size_t block_bytes(uint32_t dtype) {
  switch (dtype) {
    case TENURE_Q8_0:
      return 34;
    case TENURE_Q4_0:
      return 18;
    case TENURE_Q4_1:
      return 20;
    case TENURE_Q5_0:
      return 22;
    case TENURE_Q5_1:
      return 24;
    case TENURE_Q4_K:
      return 144;
    case TENURE_Q5_K:
      return 176;
    default:
      return 210;
  }
}

// Quotients in f32, for a code may hang on their last bit.
void keep_group(uint32_t dtype, const std::vector<float>& x, std::vector<double>& result) {
  const auto [low, high] = std::minmax_element(x.begin(), x.end());
  const bool has_minimum = dtype != TENURE_Q8_0;
  const int highest = dtype == TENURE_Q8_0 ? 127 : dtype == TENURE_Q4_1 ? 15 : 31;
  const auto minimum = static_cast<float>(has_minimum ? nearest(*low, 11, -13) : 0);
  const float top = has_minimum ? std::max(*high - minimum, 0.0f) : std::max(std::abs(*low), std::abs(*high));
  const auto scale = static_cast<float>(nearest(top / static_cast<float>(highest), 11, -13));
  for (float value : x) {
    const float quotient = scale == 0 ? 0 : (value - minimum) / scale;
    const int c = code(quotient, has_minimum ? 0 : -highest, highest);
    result.push_back(double{scale} * c + minimum);
  }
}

}  // namespace

double kept(uint32_t dtype, double x) {
  if (dtype == TENURE_F16) return f16_value(f16_bits(x));
  return dtype == TENURE_BF16 ? nearest(x, 8, -125) : static_cast<float>(x);
}

std::vector<double> kept_row(uint32_t dtype, std::span<const double> row) {
  std::vector<double> result;
  if (dtype != TENURE_Q8_0 && dtype != TENURE_Q4_1 && dtype != TENURE_Q5_1) {
    for (double x : row) result.push_back(kept(dtype, x));
    return result;
  }
  for (size_t first = 0; first < row.size(); first += 32) {
    const std::vector<float> group(row.begin() + static_cast<ptrdiff_t>(first),
                                   row.begin() + static_cast<ptrdiff_t>(first + 32));
    keep_group(dtype, group, result);
  }
  return result;
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
    } else if (i % block_elements(dtype) == 0) {
      encode_block(dtype, values.subspan(i, block_elements(dtype)), bytes);
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
