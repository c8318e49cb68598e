// Element conversions and rotations of whole heads. Included once per instruction set; see attend_vec.h.
#pragma once

#include "attend_kernels.h"
#include "attend_page.h"
#include "attend_transpose.h"
#include "attend_vec.h"

namespace tenure::cpu {
namespace {

template <class T>
void widen_row(const PackedRow& in, uint32_t n, float* out) {
  const T* elements = reinterpret_cast<const T*>(in.elements);
  for (uint32_t i = 0; i < n; i += 16) store(out + i, load(elements + i));
}
template <class T>
void narrow_row(const float* in, uint32_t n, PackedRow& out) {
  T* elements = reinterpret_cast<T*>(out.elements);
  for (uint32_t i = 0; i < n; i += 16) store(elements + i, load(in + i));
}

// A page has its keys transposed.
template <class T>
void read_page_keys(const uint8_t* page, uint32_t head_dim, uint32_t n_slots, float* rows) {
  const T* keys = reinterpret_cast<const T*>(page);
  for (uint32_t d = 0; d < head_dim; d += 16) {
    Vec square[16];
    for (uint32_t i = 0; i < 16; ++i) square[i] = load(keys + (d + i) * 16);
    transpose(square);
    for (uint32_t slot = 0; slot < n_slots; ++slot) store(rows + slot * head_dim + d, square[slot]);
  }
}

// ---- quantised rows ----

inline float widened(uint16_t half) {
  F16 halves[16] = {{half}};
  float lanes[16];
  store(lanes, load(halves));
  return lanes[0];
}
inline uint16_t narrowed_half(float x) {
  F16 halves[16];
  store(halves, broadcast(x));
  return halves[0].bits;
}

template <class T>
inline void pack_codes(const int32_t* codes, uint8_t* elements) {
  if constexpr (T::bits == 8) {
    for (uint32_t i = 0; i < kGroup; ++i) elements[i] = static_cast<uint8_t>(codes[i]);
  } else {
    for (uint32_t i = 0; i < kGroup / 2; ++i)
      elements[i] = static_cast<uint8_t>((codes[i] & 15) | (codes[i + kGroup / 2] & 15) << 4);
  }
  if constexpr (T::bits == 5) {
    memset(elements + kGroup / 2, 0, 4);
    for (uint32_t i = 0; i < kGroup; ++i)
      elements[kGroup / 2 + i % 4] |= static_cast<uint8_t>(codes[i] >> 4 << i / 4);
  }
}

// A group's two halves; what is no number makes the scale none, too.
struct Group {
  Vec a;
  Vec b;
  float largest() const { return cpu::largest(larger(a, b)); }
  float poison() const { return sum((a + b) * zero()); }
};

template <class T>
void quantise_row(const float* in, uint32_t n, PackedRow& out) {
  const uint32_t n_groups = n / kGroup;
  constexpr float highest_code = T::has_minimum ? (1 << T::bits) - 1 : 127.0f;
  for (uint32_t g = 0; g < n_groups; ++g) {
    const Group x{load(in + g * kGroup), load(in + g * kGroup + 16)};
    const float top = x.largest();
    const float bottom = -Group{zero() - x.a, zero() - x.b}.largest();
    float minimum = 0;
    float scale = 0;
    float lowest_code = 0;
    if constexpr (T::has_minimum) {
      out.halves[n_groups + g] = narrowed_half(bottom);
      minimum = widened(out.halves[n_groups + g]);
      scale = top > minimum ? (top - minimum) / highest_code : 0.0f;
    } else {
      scale = (top > -bottom ? top : -bottom) / highest_code;
      lowest_code = -127.0f;
    }
    out.halves[g] = narrowed_half(scale + x.poison());
    scale = widened(out.halves[g]);
    alignas(64) int32_t codes[kGroup];
    const auto encode = [&](Vec v, int32_t* at) {
      const Vec code = scale == 0 ? zero() : (v - broadcast(minimum)) / broadcast(scale);
      store_whole(at, lesser(larger(code, broadcast(lowest_code)), broadcast(highest_code)));
    };
    encode(x.a, codes);
    encode(x.b, codes + 16);
    pack_codes<T>(codes, out.elements + g * kGroup * T::bits / 8);
  }
}

void dequantise_bytes(const PackedRow& in, uint32_t n, float* out) {
  for (uint32_t d = 0; d < n; d += 16)
    store(out + d, signed_bytes(in.elements + d) * broadcast(widened(in.halves[d / kGroup])));
}
void dequantise_nibbles(const PackedRow& in, uint32_t n, float* out) {
  for (uint32_t g = 0; g < n / kGroup; ++g) {
    const NibbleValues values(widened(in.halves[g]), widened(in.halves[n / kGroup + g]));
    store(out + g * kGroup, values(in.elements + g * 16, false));
    store(out + g * kGroup + 16, values(in.elements + g * 16, true));
  }
}

void dequantise_five_bits(const PackedRow& in, uint32_t n, float* out) {
  const uint32_t n_groups = n / kGroup;
  for (uint32_t g = 0; g < n_groups; ++g) {
    const uint8_t* bytes = in.elements + g * row_bytes<Q5>(kGroup);
    const float scale = widened(in.halves[g]);
    const float minimum = widened(in.halves[n_groups + g]);
    for (uint32_t i = 0; i < kGroup; ++i) {
      const int code = (bytes[i % 16] >> i / 16 * 4 & 15) + (bytes[16 + i % 4] >> i / 4 & 1) * 16;
      out[g * kGroup + i] = static_cast<float>(code) * scale + minimum;
    }
  }
}

// Butterflies between the lanes of a group: sums and differences of all pairs, five times.
template <int kDistance>
inline Vec butterfly(Vec a) {
  alignas(64) float sign[16];
  for (int i = 0; i < 16; ++i) sign[i] = (i & kDistance) == 0 ? 1.0f : -1.0f;
  return fma(a, load(sign), swap_lanes<kDistance>(a));
}
inline Vec all_butterflies(Vec a) {
  return butterfly<8>(butterfly<4>(butterfly<2>(butterfly<1>(a))));
}
void spread_row(const float* in, uint32_t n, float factor, float* out) {
  for (uint32_t d = 0; d < n; d += kGroup) {
    const Vec a = all_butterflies(load(in + d));
    const Vec b = all_butterflies(load(in + d + 16));
    store(out + d, (a + b) * broadcast(factor));
    store(out + d + 16, (a - b) * broadcast(factor));
  }
}

inline void rotate_interleaved(const Rotation& r, const float* in, float* out) {
  uint32_t i = 0;
  for (; i + 16 <= r.rope_dim; i += 16) {
    const Vec x = load(in + i);
    store(out + i, fma(x, load(r.cos + i), swap_lanes<1>(x) * load(r.sin + i)));
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
      .widen = {widen_row<float>, widen_row<F16>, widen_row<Bf16>, dequantise_bytes, nullptr,
                dequantise_nibbles, nullptr, nullptr, nullptr, dequantise_five_bits},
      .narrow = {narrow_row<float>, narrow_row<F16>, narrow_row<Bf16>, quantise_row<Q8>, nullptr,
                 quantise_row<Q4>, nullptr, nullptr, nullptr, quantise_row<Q5>},
      .read_keys = {read_page_keys<float>, read_page_keys<F16>, read_page_keys<Bf16>, nullptr, nullptr, nullptr},
      .spread = spread_row,
      .exp2 = exp2_scalar,
  };
}

}  // namespace
}  // namespace tenure::cpu
