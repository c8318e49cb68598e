// Scores of quantised keys without unpacking them: products of the keys' codes with queries that are whole
// numbers of 16 bits a group, q = scale * code, summed exactly. So a query keeps 15 bits and a sign of its
// group's largest element (error 1.5e-5 of it; the keys' own is 4e-3), and the sums are the same on every
// code path. Included once per instruction set; see attend_vec.h.
#pragma once

#include "attend_page.h"

namespace tenure::cpu {
namespace {

#if TENURE_VEC_AVX512 && defined(__AVX512VNNI__)
#define TENURE_BYTE_PRODUCTS 1
#endif

// 32 elements of one query. Codes are at most 127 * 256 in size, so that they are high * 256 + low of two
// signed bytes.
struct CodedQuery {
#if TENURE_BYTE_PRODUCTS
  int8_t high[kGroup];
  int8_t low[kGroup];
#else
  int16_t codes[kGroup];
#endif
  float scale;
  int32_t sum;  // of the codes
};

// Returns their sum.
#if TENURE_BYTE_PRODUCTS
inline void put_bytes(__m512i codes, int8_t* high, int8_t* low) {
  const __m512i above = _mm512_srai_epi32(_mm512_add_epi32(codes, _mm512_set1_epi32(128)), 8);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(high), _mm512_cvtepi32_epi8(above));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(low), _mm512_cvtepi32_epi8(codes));  // less than above * 256
}
inline int32_t put_codes(Vec a, Vec b, CodedQuery* coded) {
  const __m512i first = _mm512_cvtps_epi32(a.v);
  const __m512i second = _mm512_cvtps_epi32(b.v);
  put_bytes(first, coded->high, coded->low);
  put_bytes(second, coded->high + 16, coded->low + 16);
  return _mm512_reduce_add_epi32(_mm512_add_epi32(first, second));
}
#else
inline int32_t put_codes(Vec a, Vec b, CodedQuery* coded) {
  int32_t codes[kGroup];
  store_whole(codes, a);
  store_whole(codes + 16, b);
  int32_t sum = 0;
  for (uint32_t i = 0; i < kGroup; ++i) {
    coded->codes[i] = static_cast<int16_t>(codes[i]);
    sum += codes[i];
  }
  return sum;
}
#endif

// q (n), n a multiple of kGroup
inline void code_query(const float* q, uint32_t n, CodedQuery* coded) {
  constexpr float largest_code = 127 * 256;
  for (uint32_t i = 0; i < n; i += kGroup, ++coded) {
    const Vec a = load(q + i);
    const Vec b = load(q + i + 16);
    const float top = largest(larger(larger(a, zero() - a), larger(b, zero() - b)));
    const float inverse = top == 0 ? 0.0f : largest_code / top;
    coded->sum = put_codes(a * broadcast(inverse), b * broadcast(inverse), coded);
    coded->scale = top / largest_code;
  }
}

// Lines of bytes, or of nibbles.
template <class K>
constexpr uint32_t kCodeLines = K::bits == 8 ? 8 : 4;

// products[h] = 16 keys' codes of one group times query h's; queries lie `stride` apart.
#if TENURE_BYTE_PRODUCTS

inline __m512i word_of(const int8_t* bytes, uint32_t word) {
  int32_t four;
  memcpy(&four, bytes + 4 * word, sizeof four);
  return _mm512_set1_epi32(four);
}

template <class K, int kHeads>
inline void group_products(const uint8_t* lines, const CodedQuery* q, uint32_t stride, Vec* products) {
  __m512i high[kHeads];
  __m512i low[kHeads];
#pragma GCC unroll 4
  for (int h = 0; h < kHeads; ++h) {
    high[h] = _mm512_setzero_si512();
    low[h] = _mm512_set1_epi32(K::is_signed ? -128 * q[static_cast<uint32_t>(h) * stride].sum : 0);
  }
  const auto add = [&](__m512i codes, uint32_t word) {
#pragma GCC unroll 4
    for (int h = 0; h < kHeads; ++h) {
      const CodedQuery& query = q[static_cast<uint32_t>(h) * stride];
      high[h] = _mm512_dpbusd_epi32(high[h], codes, word_of(query.high, word));
      low[h] = _mm512_dpbusd_epi32(low[h], codes, word_of(query.low, word));
    }
  };
  __m512i fifth = _mm512_setzero_si512();
  if constexpr (K::bits == 5) fifth = _mm512_loadu_si512(lines + 4 * kWordLine);
#pragma GCC unroll 8
  for (uint32_t i = 0; i < kCodeLines<K>; ++i) {
    const __m512i line = _mm512_loadu_si512(lines + i * kWordLine);
    if constexpr (K::bits == 8) {
      add(_mm512_xor_si512(line, _mm512_set1_epi8(-128)), i);  // plus 128: unsigned
    } else {
      const __m512i nibble = _mm512_set1_epi8(15);
      __m512i low_nibbles = _mm512_and_si512(line, nibble);
      __m512i high_nibbles = _mm512_and_si512(_mm512_srli_epi16(line, 4), nibble);
      if constexpr (K::bits == 5) {
        const __m512i sixteen = _mm512_set1_epi8(16);
        constexpr int or_of_and = 0xf8;  // a | (b & c)
        low_nibbles =
            _mm512_ternarylogic_epi32(low_nibbles, _mm512_slli_epi16(fifth, 4 - i), sixteen, or_of_and);
        high_nibbles =
            _mm512_ternarylogic_epi32(high_nibbles, _mm512_srli_epi16(fifth, i), sixteen, or_of_and);
      }
      add(low_nibbles, i);
      add(high_nibbles, i + 4);
    }
  }
#pragma GCC unroll 4
  for (int h = 0; h < kHeads; ++h)
    products[h] = {_mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_slli_epi32(high[h], 8), low[h]))};
}

#elif TENURE_VEC_AVX512 || TENURE_VEC_AVX2

// Pairs of 16-bit products: each slot's sum is in two parts. A quarter is 4 slots, 16 bytes of a line.
inline __m256i four_codes(const int16_t* codes, uint32_t word) {
  int64_t four;
  memcpy(&four, codes + 4 * word, sizeof four);
  return _mm256_set1_epi64x(four);
}

template <class K, int kHeads>
inline void quarter_products(const uint8_t* bytes, const CodedQuery* q, uint32_t stride, __m256i* pairs) {
#pragma GCC unroll 4
  for (int h = 0; h < kHeads; ++h) pairs[h] = _mm256_setzero_si256();
  const auto add = [&](__m128i codes, uint32_t word) {
    const __m256i wide = _mm256_cvtepi8_epi16(codes);
#pragma GCC unroll 4
    for (int h = 0; h < kHeads; ++h) {
      const int16_t* query = q[static_cast<uint32_t>(h) * stride].codes;
      pairs[h] = _mm256_add_epi32(pairs[h], _mm256_madd_epi16(wide, four_codes(query, word)));
    }
  };
  const auto line = [&](uint32_t i) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + i * kWordLine));
  };
#pragma GCC unroll 8
  for (uint32_t i = 0; i < kCodeLines<K>; ++i) {
    if constexpr (K::bits == 8) {
      add(line(i), i);
    } else {
      const __m128i nibble = _mm_set1_epi8(15);
      __m128i low = _mm_and_si128(line(i), nibble);
      __m128i high = _mm_and_si128(_mm_srli_epi16(line(i), 4), nibble);
      if constexpr (K::bits == 5) {
        const __m128i sixteen = _mm_set1_epi8(16);
        const int up = static_cast<int>(4 - i);
        low = _mm_or_si128(low, _mm_and_si128(_mm_slli_epi16(line(4), up), sixteen));
        high = _mm_or_si128(high, _mm_and_si128(_mm_srli_epi16(line(4), static_cast<int>(i)), sixteen));
      }
      add(low, i);
      add(high, i + 4);
    }
  }
}

template <class K, int kHeads>
inline void group_products(const uint8_t* lines, const CodedQuery* q, uint32_t stride, Vec* products) {
  alignas(32) int32_t sums[kHeads][16];
#pragma GCC unroll 2
  for (uint32_t half = 0; half < 2; ++half) {
    __m256i first[kHeads];
    __m256i second[kHeads];
    quarter_products<K, kHeads>(lines + half * 32, q, stride, first);
    quarter_products<K, kHeads>(lines + half * 32 + 16, q, stride, second);
#pragma GCC unroll 4
    for (int h = 0; h < kHeads; ++h) {
      const __m256i mixed = _mm256_hadd_epi32(first[h], second[h]);  // slots 0 1 4 5, 2 3 6 7
      _mm256_store_si256(reinterpret_cast<__m256i*>(sums[h] + half * 8),
                         _mm256_permute4x64_epi64(mixed, 0xd8));
    }
  }
  for (int h = 0; h < kHeads; ++h) {
    alignas(32) float whole[16];
    for (uint32_t i = 0; i < 16; i += 8) {
      const __m256i sum = _mm256_load_si256(reinterpret_cast<const __m256i*>(sums[h] + i));
      _mm256_store_ps(whole + i, _mm256_cvtepi32_ps(sum));
    }
    products[h] = load(whole);
  }
}

#else

template <class K, int kHeads>
inline void group_products(const uint8_t* lines, const CodedQuery* q, uint32_t stride, Vec* products) {
  for (int h = 0; h < kHeads; ++h) {
    const CodedQuery& query = q[static_cast<uint32_t>(h) * stride];
    int32_t sums[16] = {};
    for (uint32_t k = 0; k < kGroup; ++k) {
      const uint8_t* bytes = lines + k % 4 + k / 4 % kCodeLines<K> * kWordLine;
      const uint8_t* fifths = lines + k % 4 + 4 * kWordLine;
      for (int slot = 0; slot < 16; ++slot) {
        int code = static_cast<int8_t>(bytes[4 * slot]);
        if constexpr (K::bits != 8) code = bytes[4 * slot] >> k / 16 * 4 & 15;
        if constexpr (K::bits == 5) code += (fifths[4 * slot] >> k / 4 & 1) * 16;
        sums[slot] += code * query.codes[k];
      }
    }
    products[h] = each([&](int slot) { return static_cast<float>(sums[slot]); });
  }
}

#endif

}  // namespace
}  // namespace tenure::cpu
