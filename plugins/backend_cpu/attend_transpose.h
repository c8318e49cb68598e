// Sixteen rows of sixteen floats become their columns: keys of a page as rows. Included once per instruction
// set; see attend_vec.h.
#pragma once

#include "attend_vec.h"

namespace tenure::cpu {
namespace {

#if TENURE_VEC_AVX512

// Pairs, then fours, of elements change places inside 128-bit lanes; then the lanes do.
inline void transpose(Vec (&rows)[16]) {
  __m512 t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(rows[i].v, rows[i + 1].v);
    t[i + 1] = _mm512_unpackhi_ps(rows[i].v, rows[i + 1].v);
  }
  for (int i = 0; i < 16; i += 4) {
    for (int j = 0; j < 2; ++j) {
      const __m512d a = _mm512_castps_pd(t[i + j]);
      const __m512d b = _mm512_castps_pd(t[i + j + 2]);
      rows[i + 2 * j].v = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
      rows[i + 2 * j + 1].v = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
    }
  }
  for (int i = 0; i < 4; ++i) {
    const __m512 even_ab = _mm512_shuffle_f32x4(rows[i].v, rows[i + 4].v, 0x88);
    const __m512 odd_ab = _mm512_shuffle_f32x4(rows[i].v, rows[i + 4].v, 0xdd);
    const __m512 even_cd = _mm512_shuffle_f32x4(rows[i + 8].v, rows[i + 12].v, 0x88);
    const __m512 odd_cd = _mm512_shuffle_f32x4(rows[i + 8].v, rows[i + 12].v, 0xdd);
    t[i] = _mm512_shuffle_f32x4(even_ab, even_cd, 0x88);
    t[i + 4] = _mm512_shuffle_f32x4(odd_ab, odd_cd, 0x88);
    t[i + 8] = _mm512_shuffle_f32x4(even_ab, even_cd, 0xdd);
    t[i + 12] = _mm512_shuffle_f32x4(odd_ab, odd_cd, 0xdd);
  }
  for (int i = 0; i < 16; ++i) rows[i].v = t[i];
}

#elif TENURE_VEC_AVX2

inline void transpose(__m256 (&rows)[8]) {
  __m256 t[8];
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    for (int j = 0; j < 2; ++j) {
      const __m256d a = _mm256_castps_pd(t[i + j]);
      const __m256d b = _mm256_castps_pd(t[i + j + 2]);
      rows[i + 2 * j] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
      rows[i + 2 * j + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
    }
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm256_permute2f128_ps(rows[i], rows[i + 4], 0x20);
    t[i + 4] = _mm256_permute2f128_ps(rows[i], rows[i + 4], 0x31);
  }
  for (int i = 0; i < 8; ++i) rows[i] = t[i];
}
// Quarters of eight rows each; those off the diagonal change places.
inline void transpose(Vec (&rows)[16]) {
  __m256 quarter[4][8];
  for (int i = 0; i < 8; ++i) {
    quarter[0][i] = rows[i].lo;
    quarter[1][i] = rows[i + 8].lo;
    quarter[2][i] = rows[i].hi;
    quarter[3][i] = rows[i + 8].hi;
  }
  for (auto& part : quarter) transpose(part);
  for (int i = 0; i < 8; ++i) {
    rows[i] = {quarter[0][i], quarter[1][i]};
    rows[i + 8] = {quarter[2][i], quarter[3][i]};
  }
}

#else

inline void transpose(Vec (&rows)[16]) {
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < i; ++j) {
      const float above = rows[j].v[i];
      rows[j].v[i] = rows[i].v[j];
      rows[i].v[j] = above;
    }
  }
}

#endif

}  // namespace
}  // namespace tenure::cpu
