#include <math.h>
#include <string.h>

#include "toy.h"

static double from_f16(uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const int fraction = bits & 1023;
  double value = exponent == 0 ? ldexp(fraction, -24) : ldexp(fraction + 1024, exponent - 25);
  if (exponent == 31) value = fraction == 0 ? (double)INFINITY : (double)NAN;
  return bits & 0x8000 ? -value : value;
}

/* Nearest, ties to even: rint() in the unit of the last place. */
static uint16_t to_f16(double value) {
  const uint16_t sign = signbit(value) ? 0x8000 : 0;
  if (isnan(value)) return 0x7e00;
  const double size = fabs(value);
  if (size >= 65520) return sign | 0x7c00;
  int exponent;
  frexp(size, &exponent); /* size in [2^(exponent-1), 2^exponent) */
  if (exponent < -13 || size == 0) return sign | (uint16_t)rint(ldexp(size, 24));
  return sign | (uint16_t)(((exponent + 13) << 10) + (int)rint(ldexp(size, 11 - exponent)));
}

static double from_bf16(uint16_t bits) {
  const uint32_t wide = (uint32_t)bits << 16;
  float value;
  memcpy(&value, &wide, sizeof value);
  return value;
}

static uint16_t to_bf16(double value) {
  const float narrow = (float)value;
  uint32_t bits;
  memcpy(&bits, &narrow, sizeof bits);
  if (isnan(value)) return 0x7fc0;
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static uint16_t u16(const uint8_t* from) {
  return (uint16_t)(from[0] | from[1] << 8);
}

uint64_t toy_row_bytes(uint32_t dtype, uint64_t n) {
  switch (dtype) {
    case TENURE_F32:
      return 4 * n;
    case TENURE_F16:
    case TENURE_BF16:
      return 2 * n;
    case TENURE_Q8_0:
      return n % 32 == 0 ? n / 32 * 34 : 0;
    case TENURE_Q4_0:
      return n % 32 == 0 ? n / 32 * 18 : 0;
    case TENURE_Q4_1:
      return n % 32 == 0 ? n / 32 * 20 : 0;
    default:
      return 0;
  }
}

static void decode_block(uint32_t dtype, const uint8_t* block, float* to) {
  const double scale = from_f16(u16(block));
  const double minimum = dtype == TENURE_Q4_1 ? from_f16(u16(block + 2)) : 0;
  const uint8_t* quants = block + (dtype == TENURE_Q4_1 ? 4 : 2);
  for (int i = 0; i < 32; ++i) {
    if (dtype == TENURE_Q8_0) {
      to[i] = (float)(scale * (int8_t)quants[i]);
    } else {
      const int nibble = i < 16 ? quants[i] & 15 : quants[i - 16] >> 4;
      to[i] = (float)(dtype == TENURE_Q4_0 ? scale * (nibble - 8) : scale * nibble + minimum);
    }
  }
}

void toy_decode(uint32_t dtype, const void* from, uint64_t n, float* to) {
  const uint8_t* bytes = from;
  const uint32_t plain = toy_cache_bytes(dtype);
  if (plain != 0) {
    for (uint64_t i = 0; i < n; ++i) to[i] = (float)toy_load(dtype, bytes + i * plain);
    return;
  }
  const uint64_t block = toy_row_bytes(dtype, 32);
  for (uint64_t i = 0; i < n / 32; ++i) decode_block(dtype, bytes + i * block, to + 32 * i);
}

uint32_t toy_cache_bytes(uint32_t dtype) {
  if (dtype == TENURE_F32) return 4;
  return dtype == TENURE_F16 || dtype == TENURE_BF16 ? 2 : 0;
}

void toy_store(uint32_t dtype, void* to, double value) {
  const float wide = (float)value;
  const uint16_t half = dtype == TENURE_F16 ? to_f16(value) : to_bf16(value);
  if (dtype == TENURE_F32) {
    memcpy(to, &wide, sizeof wide);
  } else {
    memcpy(to, &half, sizeof half);
  }
}

double toy_load(uint32_t dtype, const void* from) {
  if (dtype == TENURE_F32) {
    float value;
    memcpy(&value, from, sizeof value);
    return value;
  }
  uint16_t half;
  memcpy(&half, from, sizeof half);
  return dtype == TENURE_F16 ? from_f16(half) : from_bf16(half);
}
