// bf16 products for prefill: two elements of a dot product an instruction, sums in f32.
// Keys [page][head_dim / 2][16 slots][2], values [page][8 slot pairs][head_dim][2]; queries and weights are
// plain rows.
#pragma once

#include "attend_prefill_kernel.h"

namespace tenure::cpu {
namespace {

struct Bf16Fixed {
  using Element = Bf16;

  static __m256i narrowed(Vec a) { return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(a.v)); }
  // lanes (a0, b0), (a1, b1), …
  static void store_pairs(Bf16* p, Vec a, Vec b) {
    const __m512i low = _mm512_cvtepu16_epi32(narrowed(a));
    const __m512i high = _mm512_slli_epi32(_mm512_cvtepu16_epi32(narrowed(b)), 16);
    _mm512_storeu_si512(p, _mm512_or_si512(low, high));
  }
  static __m512bh pairs(const Bf16* p) { return reinterpret_cast<__m512bh>(_mm512_loadu_si512(p)); }
  static __m512bh broadcast_pair(const Bf16* p) {
    int32_t both;
    memcpy(&both, p, sizeof both);
    return reinterpret_cast<__m512bh>(_mm512_set1_epi32(both));
  }

  static void pack_queries(const float* q, uint32_t n, float scale, Bf16* packed) {
    for (uint32_t i = 0; i < n; i += 16)
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(packed + i),
                          narrowed(load(q + i) * cpu::broadcast(scale)));
  }
  template <class K>
  static void pack_keys(const uint8_t* page, uint32_t head_dim, Bf16* packed) {
    const PageKeys<K> keys(page, head_dim);
    for (uint32_t d = 0; d < head_dim; d += 2) store_pairs(packed + d * 16, keys(d), keys(d + 1));
  }
  template <class V>
  static void pack_values(const uint8_t* page, uint32_t head_dim, uint32_t n_slots, Bf16* packed) {
    for (uint32_t d = 0; d < head_dim; d += 16) {
      const PageValues<V> values(page, head_dim, d);
      for (uint32_t s = 0; s < 16; s += 2)
        store_pairs(packed + s * head_dim + 2 * d, s < n_slots ? values(s) : zero(),
                    s + 1 < n_slots ? values(s + 1) : zero());
    }
  }
  template <int kRows>
  static void score(const Bf16* q, const Bf16* keys, uint32_t head_dim, float* scores, uint64_t stride) {
    __m512 acc[kRows][kTileVecs];
    for (int r = 0; r < kRows; ++r)
      for (int j = 0; j < kTileVecs; ++j) acc[r][j] = _mm512_setzero_ps();
    for (uint32_t d = 0; d < head_dim; d += 2) {
      __m512bh key[kTileVecs];
      for (int j = 0; j < kTileVecs; ++j) key[j] = pairs(keys + (j * head_dim + d) * 16);
      for (int r = 0; r < kRows; ++r) {
        const __m512bh query = broadcast_pair(q + r * head_dim + d);
        for (int j = 0; j < kTileVecs; ++j) acc[r][j] = _mm512_dpbf16_ps(acc[r][j], query, key[j]);
      }
    }
    for (int r = 0; r < kRows; ++r)
      for (int j = 0; j < kTileVecs; ++j) _mm512_storeu_ps(scores + r * stride + 16 * j, acc[r][j]);
  }
  template <int kRows, int kVecs>
  static void weigh(const Bf16* weights, uint64_t stride, const Bf16* values, uint32_t head_dim,
                    Vec (&acc)[kRows][kVecs]) {
    for (uint32_t t = 0; t < kPanelSlots; t += 2) {
      __m512bh value[kVecs];
      for (int j = 0; j < kVecs; ++j) value[j] = pairs(values + t * head_dim + 32 * j);
      for (int r = 0; r < kRows; ++r) {
        const __m512bh weight = broadcast_pair(weights + r * stride + t);
        for (int j = 0; j < kVecs; ++j) acc[r][j].v = _mm512_dpbf16_ps(acc[r][j].v, weight, value[j]);
      }
    }
  }
  static const Bf16* value_at(const Bf16* values, uint32_t head_dim, uint32_t slot, uint32_t dim) {
    return values + slot * head_dim + 2 * dim;
  }
};
using Bf16Products = RegisterProducts<Bf16Fixed>;

}  // namespace
}  // namespace tenure::cpu
