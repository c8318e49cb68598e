/* A model's activations and their slopes for plugins that learn: inline loops that compilers make vectors of. No part of the
 * ABI: a plugin may leave it out. All are [pure]; relative errors are below 1e-6.
 */
#ifndef TENURE_EXT_ACTIVATIONS_H
#define TENURE_EXT_ACTIVATIONS_H

#include <tenure/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/* e^x for x <= 0; below -87 that of -87. */
static inline float tenure_exp_negative(float x) {
  union {
    int32_t bits;
    float value;
  } power;
  x = x < -87.0f ? -87.0f : x;
  const float rounded = (float)(int32_t)(x * 1.44269504f - 0.5f); /* to the nearest: a cast cuts towards zero */
  const float rest = (x - rounded * 0.693359375f) + rounded * 2.12194440e-4f; /* ln 2 in two parts */
  float sum = 1.3888889e-3f; /* Taylor to the sixth power, |rest| <= ln 2 / 2 */
  sum = sum * rest + 8.3333333e-3f;
  sum = sum * rest + 4.1666667e-2f;
  sum = sum * rest + 0.16666667f;
  sum = sum * rest + 0.5f;
  sum = sum * rest + 1.0f;
  sum = sum * rest + 1.0f;
  power.bits = ((int32_t)rounded + 127) << 23;
  return sum * power.value;
}

/* 1 / (1 + e^-x) */
static inline float tenure_sigmoid(float x) {
  const float e = tenure_exp_negative(x < 0 ? x : -x);
  return (x < 0 ? e : 1.0f) / (1.0f + e);
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
