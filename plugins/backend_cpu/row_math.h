// What is done to rows between matrix products, written once over an instruction set `Isa` as in
// linear_tile.h.
#pragma once

#include "kernels.h"

namespace tenure::cpu {
namespace {

constexpr uint32_t kLanes = 16;
constexpr uint32_t kInfinityBits = 0x7f800000u;

// e^x by 2^n * 2^f, f in [-1/2, 1/2] by a polynomial of degree 6: relative error below 3e-7 for |x| < 1, 6e-6
// at the ends. The clamp keeps n a normal exponent; it passes NaN on.
template <class Isa>
[[gnu::always_inline]] inline typename Isa::F exp(typename Isa::F x) {
  using F = typename Isa::F;
  x = Isa::min(Isa::set1(88.0f), Isa::max(Isa::set1(-87.0f), x));
  const F t = Isa::mul(x, Isa::set1(1.44269504f));
  const typename Isa::I n = Isa::to_int(t);
  const F f = Isa::sub(t, Isa::to_float(n));
  F p = Isa::set1(1.5403530e-4f);
  p = Isa::fma(p, f, Isa::set1(1.3333558e-3f));
  p = Isa::fma(p, f, Isa::set1(9.6181291e-3f));
  p = Isa::fma(p, f, Isa::set1(5.5504109e-2f));
  p = Isa::fma(p, f, Isa::set1(2.4022651e-1f));
  p = Isa::fma(p, f, Isa::set1(6.9314718e-1f));
  p = Isa::fma(p, f, Isa::set1(1.0f));
  return Isa::mul(p, Isa::power_of_two(n));
}

template <class Isa>
void quantise(const float* x, uint32_t n, ActivationBlock* out) {
  using F = typename Isa::F;
  using I = typename Isa::I;
  for (uint32_t b = 0; b < n / kBlock; ++b, x += kBlock, ++out) {
    const F low = Isa::load(x);
    const F high = Isa::load(x + kLanes);
    // Magnitudes compare as integers, where NaN is largest: a NaN cannot hide behind a finite value.
    const uint32_t bits =
        Isa::reduce_max_bits(Isa::max_bits(Isa::magnitude_bits(low), Isa::magnitude_bits(high)));
    float largest;
    __builtin_memcpy(&largest, &bits, 4);
    if (bits >= kInfinityBits || largest < 1e-30f) {
      __builtin_memset(out, 0, sizeof *out);
      if (bits >= kInfinityBits) out->scale = out->scaled_sum = __builtin_nanf("");
      continue;
    }
    const F inverse = Isa::set1(127.0f / largest);
    const I q_low = Isa::to_int(Isa::mul(low, inverse));
    const I q_high = Isa::to_int(Isa::mul(high, inverse));
    Isa::store_i8(out->q, q_low);
    Isa::store_i8(out->q + kLanes, q_high);
    const int32_t sum = Isa::reduce_add(Isa::add(q_low, q_high));
    out->scale = largest / 127.0f;
    out->scaled_sum = out->scale * static_cast<float>(sum);
    out->minus_sum = -sum;
    out->reserved = 0;
  }
}

// n is a multiple of 16; a head of 16 or 48 ends in half a step.
template <class Isa>
[[gnu::always_inline]] inline float sum_squares(const float* x, uint32_t n) {
  using F = typename Isa::F;
  F even = Isa::zero();
  F odd = Isa::zero();
  uint32_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    const F a = Isa::load(x + i);
    const F b = Isa::load(x + i + kLanes);
    even = Isa::fma(a, a, even);
    odd = Isa::fma(b, b, odd);
  }
  if (i < n) even = Isa::fma(Isa::load(x + i), Isa::load(x + i), even);
  return Isa::reduce_add(Isa::add(even, odd));
}

inline float inverse_rms(float sum, uint32_t n, float epsilon) {
  return 1.0f / __builtin_sqrtf(sum / static_cast<float>(n) + epsilon);
}

template <class Isa>
float rms_norm(const float* x, const float* weight, uint32_t n, float epsilon, float* out) {
  const float sum = sum_squares<Isa>(x, n);
  const typename Isa::F scale = Isa::set1(inverse_rms(sum, n, epsilon));
  for (uint32_t i = 0; i < n; i += kLanes) {
    Isa::store(out + i, Isa::mul(Isa::mul(Isa::load(x + i), scale), Isa::load(weight + i)));
  }
  return sum;
}

template <class Isa>
void add_rms_norm(const float* added, const float* weight, uint32_t n, float epsilon, float* x) {
  const typename Isa::F scale = Isa::set1(inverse_rms(sum_squares<Isa>(added, n), n, epsilon));
  for (uint32_t i = 0; i < n; i += kLanes) {
    const typename Isa::F normed = Isa::mul(Isa::load(added + i), scale);
    Isa::store(x + i, Isa::fma(normed, Isa::load(weight + i), Isa::load(x + i)));
  }
}

template <class Isa>
struct Silu {
  [[gnu::always_inline]] static inline typename Isa::F of(typename Isa::F x) {
    return Isa::div(x, Isa::add(Isa::set1(1.0f), exp<Isa>(Isa::sub(Isa::zero(), x))));
  }
};

// (1 + tanh(u)) / 2 is 1 / (1 + e^(-2u)): no difference of near numbers, and no tail that overflows.
template <class Isa>
struct Gelu {
  [[gnu::always_inline]] static inline typename Isa::F of(typename Isa::F x) {
    using F = typename Isa::F;
    // -2u = x * (a + b x^2), a = -2 sqrt(2 / pi), b = 0.044715 a
    const F factor = Isa::fma(Isa::mul(x, x), Isa::set1(-0.0713548163f), Isa::set1(-1.595769122f));
    return Isa::div(x, Isa::add(Isa::set1(1.0f), exp<Isa>(Isa::mul(x, factor))));
  }
};

template <class Isa, class Activation>
[[gnu::always_inline]] inline void activate_mul(float* gate, const float* up, uint32_t n) {
  uint32_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    Isa::store(gate + i, Isa::mul(Activation::of(Isa::load(gate + i)), Isa::load(up + i)));
  if (i == n) return;
  const uint32_t left = n - i;
  Isa::store_first(gate + i,
                   Isa::mul(Activation::of(Isa::load_first(gate + i, left)), Isa::load_first(up + i, left)),
                   left);
}

template <class Isa>
void silu_mul(float* gate, const float* up, uint32_t n) {
  activate_mul<Isa, Silu<Isa>>(gate, up, n);
}

template <class Isa>
void gelu_mul(float* gate, const float* up, uint32_t n) {
  activate_mul<Isa, Gelu<Isa>>(gate, up, n);
}

// A row's last lanes, filled up with `fill`.
template <class Isa>
typename Isa::F load_filled(const float* x, uint32_t left, float fill) {
  if (left >= kLanes) return Isa::load(x);
  alignas(64) float lanes[kLanes];
  for (uint32_t i = 0; i < kLanes; ++i) lanes[i] = i < left ? x[i] : fill;
  return Isa::load(lanes);
}

template <class Isa>
LogitSlice reduce_logits(const float* logits, uint32_t n) {
  using F = typename Isa::F;
  F largest = Isa::set1(logits[0]);
  typename Isa::I bits = Isa::set1(0);
  for (uint32_t i = 0; i < n; i += kLanes) {
    const F x = load_filled<Isa>(logits + i, n - i, logits[0]);
    largest = Isa::max(largest, x);
    bits = Isa::max_bits(bits, Isa::magnitude_bits(x));
  }
  if (Isa::reduce_max_bits(bits) >= kInfinityBits) return {.finite = 0};
  LogitSlice slice{.max = Isa::reduce_max(largest), .finite = 1};
  const F max = Isa::set1(slice.max);
  F sum = Isa::zero();
  for (uint32_t i = 0; i < n; i += kLanes) {
    // The filling is so far below the maximum that its exp() is lost in the sum.
    sum = Isa::add(sum, exp<Isa>(Isa::sub(load_filled<Isa>(logits + i, n - i, -1e30f), max)));
  }
  slice.sum_exp = Isa::reduce_add(sum);
  while (logits[slice.argmax] != slice.max) ++slice.argmax;
  return slice;
}

}  // namespace
}  // namespace tenure::cpu
