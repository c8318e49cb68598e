// Values of Q8_0 weighed without unpacking them. What a code is multiplied by, a weight times the scale of
// the code's group, is a whole number of 16 bits in two unsigned bytes: weight * scale = step * code. A step
// is for a block of pages, a query head and a group of 32 elements, the largest product over 65,535; so a
// product is off by at most 7.6e-6 of the block's largest, and sums of products of codes are exact. 0.68
// times the time of unpacking to f32 (Zen 4, scores included). Included once per instruction set; see
// attend_vec.h.
#pragma once

#include "attend_page.h"

namespace tenure::cpu {
namespace {

// Sums of up to 256 slots fit 32 bits. Of more pages the keys' and values' reading would come in bursts with
// nothing under way between them: four took 1.09 times as long from memory, for 0.94 in L1 (Zen 4).
constexpr uint32_t kBlockPages = 2;
constexpr uint32_t kStripDims = 64;

// Pages of one block, their values' first bytes, and the slots [begin, end) of each that count.
struct ValueBlock {
  uint32_t n_pages;
  const uint8_t* pages[kBlockPages];
  uint32_t begin[kBlockPages];
  uint32_t end[kBlockPages];
};

inline uint16_t slots_mask(const ValueBlock& block, uint32_t page) {
  return static_cast<uint16_t>((1u << block.end[page]) - (1u << block.begin[page]));
}

// Scales of group `group` in a page; zeros where no slot is.
inline Vec scales_of(const ValueBlock& block, uint32_t page, uint32_t group) {
  return {_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(slots_mask(block, page), block.pages[page] + group * 32))};
}

// Weights of a block's slots times their scales for one head and the two groups of a strip, and the steps
// they become codes by, and 1 / step: lanes 0 to 7 for the first group, 8 to 15 for the second.
struct ScaledWeights {
  Vec products[kBlockPages][2];
  __m512 step;
  __m512 inverse;
};

// Each lane the largest of its half's.
inline __m512i largest_of_halves(__m512i first, __m512i second) {
  __m512i top =
      _mm512_max_epu32(_mm512_shuffle_i64x2(first, second, 0x44), _mm512_shuffle_i64x2(first, second, 0xee));
  top = _mm512_max_epu32(top, _mm512_shuffle_i64x2(top, top, 0xb1));
  top = _mm512_max_epu32(top, _mm512_shuffle_epi32(top, _MM_PERM_BADC));
  return _mm512_max_epu32(top, _mm512_shuffle_epi32(top, _MM_PERM_CDAB));
}

// weights: of page p at weights + p * stride. The largest is found by bits: products are not negative, so
// that these are ordered as whole numbers, and what is no number is above them all and stays.
inline void scale_weights(const Vec (&scales)[kBlockPages][2], uint32_t n_pages, const float* weights,
                          uint32_t stride, ScaledWeights& scaled) {
  __m512i top[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
  for (uint32_t p = 0; p < n_pages; ++p) {
    const Vec w = load(weights + p * stride);
#pragma GCC unroll 2
    for (int g = 0; g < 2; ++g) {
      scaled.products[p][g] = w * scales[p][g];
      top[g] = _mm512_max_epu32(top[g], _mm512_castps_si512(scaled.products[p][g].v));
    }
  }
  const __m512i bounds = largest_of_halves(top[0], top[1]);
  const __m512 bound = _mm512_castsi512_ps(bounds);
  const __m512 largest_code = _mm512_set1_ps(65535.0f);
  scaled.step = _mm512_div_ps(bound, largest_code);
  scaled.inverse = _mm512_maskz_div_ps(_mm512_test_epi32_mask(bounds, bounds), largest_code, bound);
}

// Codes of one page. Lane i of four words is slots 4 * i to 4 * i + 3: low bytes for the first group, its
// high bytes, and the same for the second.
inline __m512i coded_weights(const ScaledWeights& scaled, uint32_t page) {
  const auto codes = [&](int g) {
    const __m512 inverse = _mm512_shuffle_f32x4(scaled.inverse, scaled.inverse, g == 0 ? 0x00 : 0xaa);
    return _mm512_cvtps_epi32(_mm512_mul_ps(scaled.products[page][g].v, inverse));
  };
  constexpr int and_then_or = 0xea;  // (a & b) | c; without the mask what is no number would reach group 1
  const __m512i both = _mm512_ternarylogic_epi32(codes(0), _mm512_set1_epi32(0xffff),
                                                 _mm512_slli_epi32(codes(1), 16), and_then_or);
  return _mm512_shuffle_epi8(
      both, _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)));
}

// Word `part` of lane `quad` for the dims of the first group, word part + 2 for those of the second: dims lie
// 16 to a lane of 128 bits.
inline __m512i weights_of_quad(__m512i coded, int quad, int part) {
  const int a = 4 * quad + part;
  const int b = a + 2;
  return _mm512_permutexvar_epi32(_mm512_setr_epi32(a, a, a, a, a, a, a, a, b, b, b, b, b, b, b, b), coded);
}

// Four rows of 64 bytes as words of one dim each: lane l of words[j] has dims 16 * l + 4 * j and on.
inline void interleave(const uint8_t* rows, uint32_t stride, __mmask64 dims, __m512i (&words)[4]) {
  const auto row = [&](uint32_t i) { return _mm512_maskz_loadu_epi8(dims, rows + i * stride); };
  const __m512i a = row(0), b = row(1), c = row(2), d = row(3);
  const __m512i ab_low = _mm512_unpacklo_epi8(a, b);
  const __m512i ab_high = _mm512_unpackhi_epi8(a, b);
  const __m512i cd_low = _mm512_unpacklo_epi8(c, d);
  const __m512i cd_high = _mm512_unpackhi_epi8(c, d);
  words[0] = _mm512_unpacklo_epi16(ab_low, cd_low);
  words[1] = _mm512_unpackhi_epi16(ab_low, cd_low);
  words[2] = _mm512_unpacklo_epi16(ab_high, cd_high);
  words[3] = _mm512_unpackhi_epi16(ab_high, cd_high);
}

// Sums of low and high products of one head, as interleave() orders dims.
struct ByteSums {
  __m512i low[4];
  __m512i high[4];
};

// value (n_dims of 64) += step * sums
inline void add_sums(const ByteSums& sums, __m512 steps, uint32_t n_dims, float* value) {
  const Vec step[2] = {{_mm512_shuffle_f32x4(steps, steps, 0x00)},
                       {_mm512_shuffle_f32x4(steps, steps, 0xaa)}};
  __m512 x[4];
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j)
    x[j] = _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_slli_epi32(sums.high[j], 8), sums.low[j]));
  const __m512 lanes_01 = _mm512_shuffle_f32x4(x[0], x[1], 0x44);  // 0.0 0.1 1.0 1.1
  const __m512 lanes_23 = _mm512_shuffle_f32x4(x[0], x[1], 0xee);
  const __m512 more_01 = _mm512_shuffle_f32x4(x[2], x[3], 0x44);
  const __m512 more_23 = _mm512_shuffle_f32x4(x[2], x[3], 0xee);
  const __m512 dims[4] = {
      _mm512_shuffle_f32x4(lanes_01, more_01, 0x88), _mm512_shuffle_f32x4(lanes_01, more_01, 0xdd),
      _mm512_shuffle_f32x4(lanes_23, more_23, 0x88), _mm512_shuffle_f32x4(lanes_23, more_23, 0xdd)};
#pragma GCC unroll 4
  for (uint32_t j = 0; j < 4; ++j)
    if (16 * j < n_dims) store(value + 16 * j, fma({dims[j]}, step[j / 2], load(value + 16 * j)));
}

// Dims [dim, dim + n_dims) of some heads; weights [page][kHeads][16].
template <int kHeads>
inline void weigh_strip(const ValueBlock& block, uint32_t head_dim, uint32_t dim, const float* weights,
                        float* value) {
  const uint32_t n_dims = smaller(kStripDims, head_dim - dim);
  const uint32_t groups[2] = {dim / kGroup, (dim + n_dims - 1) / kGroup};
  const __mmask64 mask = n_dims == kStripDims ? ~__mmask64{0} : (__mmask64{1} << n_dims) - 1;
  ScaledWeights scaled[kHeads];
  ByteSums sums[kHeads];
  Vec scales[kBlockPages][2];
  for (uint32_t p = 0; p < block.n_pages; ++p)
    for (int g = 0; g < 2; ++g) scales[p][g] = scales_of(block, p, groups[g]);
#pragma GCC unroll 4
  for (int h = 0; h < kHeads; ++h) {
    scale_weights(scales, block.n_pages, weights + 16 * h, 16 * kHeads, scaled[h]);
    for (int j = 0; j < 4; ++j) sums[h].low[j] = sums[h].high[j] = _mm512_setzero_si512();
  }
  for (uint32_t p = 0; p < block.n_pages; ++p) {
    const uint8_t* rows = block.pages[p] + halves_bytes<Q8>(head_dim) + dim;
    __m512i coded[kHeads];
#pragma GCC unroll 4
    for (int h = 0; h < kHeads; ++h) coded[h] = coded_weights(scaled[h], p);
#pragma GCC unroll 4
    for (uint32_t quad = 0; quad < 4; ++quad) {
      __m512i words[4];
      interleave(rows + 4 * quad * head_dim, head_dim, mask, words);
#pragma GCC unroll 4
      for (int h = 0; h < kHeads; ++h) {
        const __m512i low = weights_of_quad(coded[h], static_cast<int>(quad), 0);
        const __m512i high = weights_of_quad(coded[h], static_cast<int>(quad), 1);
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) {
          sums[h].low[j] = _mm512_dpbusd_epi32(sums[h].low[j], low, words[j]);
          sums[h].high[j] = _mm512_dpbusd_epi32(sums[h].high[j], high, words[j]);
        }
      }
    }
  }
#pragma GCC unroll 4
  for (int h = 0; h < kHeads; ++h)
    add_sums(sums[h], scaled[h].step, n_dims, value + static_cast<uint32_t>(h) * head_dim + dim);
}

// value (kHeads, head_dim) += weights [page][kHeads][16] x the block
template <int kHeads>
void weigh_block(const ValueBlock& block, uint32_t head_dim, const float* weights, float* value) {
  for (uint32_t dim = 0; dim < head_dim; dim += kStripDims)
    weigh_strip<kHeads>(block, head_dim, dim, weights, value);
}

}  // namespace
}  // namespace tenure::cpu
