// Element conversions and rotations of whole heads. Included once per instruction set; see attend_vec.h.
#pragma once

#include "attend_kernels.h"
#include "attend_vec.h"

namespace tenure::cpu {
namespace {

template <class T>
void widen_row(const void* in, uint32_t n, float* out) {
  for (uint32_t i = 0; i < n; i += 16) store(out + i, load(static_cast<const T*>(in) + i));
}
template <class T>
void narrow_row(const float* in, uint32_t n, void* out) {
  for (uint32_t i = 0; i < n; i += 16) store(static_cast<T*>(out) + i, load(in + i));
}

inline void rotate_interleaved(const Rotation& r, const float* in, float* out) {
  uint32_t i = 0;
  for (; i + 16 <= r.rope_dim; i += 16) {
    const Vec x = load(in + i);
    store(out + i, fma(x, load(r.cos + i), swap_pairs(x) * load(r.sin + i)));
  }
  for (; i < r.rope_dim; i += 2) {
    const float x = in[i];
    const float y = in[i + 1];
    out[i] = x * r.cos[i] + y * r.sin[i];
    out[i + 1] = y * r.cos[i + 1] + x * r.sin[i + 1];
  }
}

inline void rotate_halves(const Rotation& r, const float* in, float* out) {
  const uint32_t half = r.rope_dim / 2;
  uint32_t i = 0;
  for (; i + 16 <= half; i += 16) {
    const Vec x = load(in + i);
    const Vec y = load(in + half + i);
    const Vec c = load(r.cos + i);
    const Vec s = load(r.sin + i);
    store(out + i, x * c - y * s);
    store(out + half + i, y * c + x * s);
  }
  for (; i < half; ++i) {
    const float x = in[i];
    const float y = in[half + i];
    out[i] = x * r.cos[i] - y * r.sin[i];
    out[half + i] = y * r.cos[i] + x * r.sin[i];
  }
}

void rotate_heads(const Rotation& r, const float* in, uint32_t n_heads, uint32_t head_dim, float* out) {
  for (uint32_t h = 0; h < n_heads; ++h, in += head_dim, out += head_dim) {
    if (r.kind == TENURE_ROPE_INTERLEAVED)
      rotate_interleaved(r, in, out);
    else
      rotate_halves(r, in, out);
    if (in != out && r.rope_dim < head_dim)
      memcpy(out + r.rope_dim, in + r.rope_dim, (head_dim - r.rope_dim) * sizeof(float));
  }
}

constexpr AttendKernels attend_kernels_with(const char* name, PrefillKernel fast, PrefillKernel exact) {
  return {
      .name = name,
      .decode = decode,
      .decode_merge = decode_merge,
      .add_scaled = add_scaled,
      .prefill_exact = exact,
      .prefill_fast = fast,
      .rotate = rotate_heads,
      .widen = {widen_row<float>, widen_row<F16>, widen_row<Bf16>},
      .narrow = {narrow_row<float>, narrow_row<F16>, narrow_row<Bf16>},
      .exp2 = exp2_scalar,
  };
}

}  // namespace
}  // namespace tenure::cpu
