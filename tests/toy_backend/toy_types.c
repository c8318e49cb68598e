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

/* Blocks of weights as files hold them; plain types are blocks of one. */
typedef struct block_type {
  uint32_t elements, bytes;
  void (*decode)(uint32_t dtype, const uint8_t* block, float* to); /* NULL: one element, toy_load() */
} block_type;

/* Blocks of 32: scale [, minimum] [, fifth bits], quants. */
static void decode_32(uint32_t dtype, const uint8_t* block, float* to) {
  const bool has_minimum = dtype == TENURE_Q4_1 || dtype == TENURE_Q5_1;
  const bool has_fifth = dtype == TENURE_Q5_0 || dtype == TENURE_Q5_1;
  const double scale = from_f16(u16(block));
  const double minimum = has_minimum ? from_f16(u16(block + 2)) : 0;
  const uint8_t* fifth = block + (has_minimum ? 4 : 2);
  const uint8_t* quants = fifth + (has_fifth ? 4 : 0);
  for (int i = 0; i < 32; ++i) {
    if (dtype == TENURE_Q8_0) {
      to[i] = (float)(scale * (int8_t)quants[i]);
      continue;
    }
    int quant = i < 16 ? quants[i] & 15 : quants[i - 16] >> 4;
    if (has_fifth && (fifth[i / 8] >> i % 8 & 1) != 0) quant += 16;
    const int zero = has_minimum ? 0 : has_fifth ? 16 : 8;
    to[i] = (float)(scale * (quant - zero) + minimum);
  }
}

/* Scale and minimum i of 8, six bits each, of the 12 bytes that hold them. */
static void scale_and_minimum(const uint8_t* packed, int i, int* scale, int* minimum) {
  if (i < 4) {
    *scale = packed[i] & 63;
    *minimum = packed[i + 4] & 63;
  } else {
    *scale = (packed[i + 4] & 15) + (packed[i - 4] >> 6) * 16;
    *minimum = (packed[i + 4] >> 4) + (packed[i] >> 6) * 16;
  }
}

/* Q4_K, Q5_K */
static void decode_k(uint32_t dtype, const uint8_t* block, float* to) {
  const double d = from_f16(u16(block));
  const double dmin = from_f16(u16(block + 2));
  const uint8_t* fifth = block + 16;
  const uint8_t* quants = fifth + (dtype == TENURE_Q5_K ? 32 : 0);
  for (int i = 0; i < 256; ++i) {
    const int part = i / 32;
    const uint8_t both = quants[part / 2 * 32 + i % 32];
    int quant = part % 2 == 0 ? both & 15 : both >> 4;
    if (dtype == TENURE_Q5_K && (fifth[i % 32] >> part & 1) != 0) quant += 16;
    int scale, minimum;
    scale_and_minimum(block + 4, part, &scale, &minimum);
    to[i] = (float)(d * scale * quant - dmin * minimum);
  }
}

static void decode_q6_k(uint32_t dtype, const uint8_t* block, float* to) {
  (void)dtype;
  const int8_t* scales = (const int8_t*)(block + 192);
  const double d = from_f16(u16(block + 208));
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128, part = i / 32 % 4, k = i % 32;
    const uint8_t both = block[64 * half + 32 * (part % 2) + k];
    const int low = part < 2 ? both & 15 : both >> 4;
    const int high = block[128 + 32 * half + k] >> 2 * part & 3;
    to[i] = (float)(d * scales[i / 16] * (low + 16 * high - 32));
  }
}

static const block_type block_types[] = {
    [TENURE_F32] = {1, 4, NULL},
    [TENURE_F16] = {1, 2, NULL},
    [TENURE_BF16] = {1, 2, NULL},
    [TENURE_Q8_0] = {32, 34, decode_32},
    [TENURE_Q4_0] = {32, 18, decode_32},
    [TENURE_Q4_1] = {32, 20, decode_32},
    [TENURE_Q5_0] = {32, 22, decode_32},
    [TENURE_Q5_1] = {32, 24, decode_32},
    [TENURE_Q4_K] = {256, 144, decode_k},
    [TENURE_Q5_K] = {256, 176, decode_k},
    [TENURE_Q6_K] = {256, 210, decode_q6_k},
};

static block_type type_of(uint32_t dtype) {
  const block_type none = {0, 0, NULL};
  return dtype < sizeof block_types / sizeof *block_types ? block_types[dtype] : none;
}

bool toy_is_weight_type(uint32_t dtype) {
  return type_of(dtype).elements != 0;
}

uint64_t toy_row_bytes(uint32_t dtype, uint64_t n) {
  const block_type type = type_of(dtype);
  return type.elements != 0 && n % type.elements == 0 ? n / type.elements * type.bytes : 0;
}

void toy_decode(uint32_t dtype, const void* from, uint64_t n, float* to) {
  const uint8_t* bytes = from;
  const block_type type = type_of(dtype);
  for (uint64_t i = 0; i < n; i += type.elements, bytes += type.bytes) {
    if (type.decode) {
      type.decode(dtype, bytes, to + i);
    } else {
      to[i] = (float)toy_load(dtype, bytes);
    }
  }
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
