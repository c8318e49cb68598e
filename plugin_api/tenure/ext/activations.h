/* A model's activations and their slopes for plugins that learn: inline loops that compilers make vectors of. No part of the
 * ABI: a plugin may leave it out. All are [pure]; relative errors are below 1e-6.
 */
#ifndef TENURE_EXT_ACTIVATIONS_H
#define TENURE_EXT_ACTIVATIONS_H

#include <tenure/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Choices below are made on bits, as whole numbers: a comparison of floats may trap, and compilers then leave a loop as it is. */
typedef union tenure_float_bits {
  float value;
  int32_t bits;
} tenure_float_bits;

/* e^x for x from -1e9 to 0; 0 below -87. */
static inline float tenure_exp_negative(float x) {
  tenure_float_bits power;
  const int32_t rounded = (int32_t)(x * 1.44269504f - 0.5f); /* to the nearest: a cast cuts towards zero */
  const float turns = (float)rounded;
  const float rest = (x - turns * 0.693359375f) + turns * 2.12194440e-4f; /* ln 2 in two parts */
  float sum = 1.3888889e-3f; /* Taylor to the sixth power, |rest| <= ln 2 / 2 */
  sum = sum * rest + 8.3333333e-3f;
  sum = sum * rest + 4.1666667e-2f;
  sum = sum * rest + 0.16666667f;
  sum = sum * rest + 0.5f;
  sum = sum * rest + 1.0f;
  sum = sum * rest + 1.0f;
  power.bits = (rounded + 127 > 0 ? rounded + 127 : 0) << 23;
  return sum * power.value;
}

/* 1 / (1 + e^-x) */
static inline float tenure_sigmoid(float x) {
  tenure_float_bits negative, e, above;
  negative.value = x;
  const int32_t is_negative = negative.bits >> 31; /* all bits or none */
  negative.bits |= INT32_MIN;
  e.value = tenure_exp_negative(negative.value);
  const float below = 1.0f + e.value;
  above.value = 1.0f;
  above.bits = (e.bits & is_negative) | (above.bits & ~is_negative);
  return above.value / below;
}

/* Of each x (n): out = a(x), slope = a'(x). `activation`: TENURE_ACTIVATION_*. out may be x. */
static inline void tenure_activate(uint32_t activation, const float* x, uint64_t n, float* out, float* slope) {
  if (activation == TENURE_ACTIVATION_SILU) {
    for (uint64_t i = 0; i < n; ++i) {
      const float value = x[i], s = tenure_sigmoid(value);
      out[i] = value * s;
      slope[i] = s * (1.0f + value * (1.0f - s));
    }
    return;
  }
  for (uint64_t i = 0; i < n; ++i) { /* x / 2 * (1 + tanh(u)) = x * sigmoid(2 u) */
    const float value = x[i], square = value * value;
    const float s = tenure_sigmoid(1.59576912f * value * (1.0f + 0.044715f * square));
    out[i] = value * s;
    slope[i] = s + value * s * (1.0f - s) * 1.59576912f * (1.0f + 0.134145f * square);
  }
}

#ifdef __cplusplus
}
#endif

#endif
