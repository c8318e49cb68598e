// What a page's bytes stand for, type by type (page_layout.h): readers of sixteen keys' elements and of one
// value's, 16 at a time. Products of codes and scales are exact in f32, so that quantised elements have the
// same bits on every code path.
// Included once per instruction set; see attend_vec.h.
#pragma once

#include "attend_kernels.h"
#include "attend_vec.h"

namespace tenure::cpu {
namespace {

struct Q8 {
  static constexpr uint32_t bits = 8;
  static constexpr bool is_signed = true;
  static constexpr bool has_minimum = false;
};
struct Q4 {
  static constexpr uint32_t bits = 4;
  static constexpr bool is_signed = false;
  static constexpr bool has_minimum = true;
};
struct Q5 {
  static constexpr uint32_t bits = 5;
  static constexpr bool is_signed = false;
  static constexpr bool has_minimum = true;
};
template <class T>
constexpr bool is_coded = false;
template <>
constexpr bool is_coded<Q8> = true;
template <>
constexpr bool is_coded<Q4> = true;
template <>
constexpr bool is_coded<Q5> = true;

constexpr uint32_t kWordLine = 64;  // one word of each of a page's 16 keys

// Bytes of the scales and minimums of a page's keys or values, and of one row.
template <class T>
constexpr uint32_t halves_bytes(uint32_t head_dim) {
  if constexpr (is_coded<T>) return (T::has_minimum ? 4 : 2) * head_dim / kGroup * 16;
  return 0;
}
template <class T>
constexpr uint32_t row_bytes(uint32_t head_dim) {
  if constexpr (is_coded<T>) return head_dim * T::bits / 8;
  return head_dim * static_cast<uint32_t>(sizeof(T));
}

#if TENURE_VEC_AVX512
// Bits [first, first + kBits) of sixteen words.
template <uint32_t kBits, bool is_signed>
inline Vec bits_of_words(const uint8_t* words, uint32_t first) {
  const __m512i all = _mm512_loadu_si512(words);
  const __m512i top = _mm512_sll_epi32(all, _mm_cvtsi32_si128(static_cast<int>(32 - kBits - first)));
  constexpr int down = 32 - kBits;
  return {_mm512_cvtepi32_ps(is_signed ? _mm512_srai_epi32(top, down) : _mm512_srli_epi32(top, down))};
}
inline Vec signed_bytes(const uint8_t* bytes) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes))))};
}
// Sixteen nibbles' values of one group.
class NibbleValues {
 public:
  NibbleValues(float scale, float minimum)
      : values_(_mm512_fmadd_ps(_mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                                _mm512_set1_ps(scale), _mm512_set1_ps(minimum))) {}
  Vec operator()(const uint8_t* bytes, bool high) const {
    const __m512i both = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
    return {_mm512_permutexvar_ps(high ? _mm512_srli_epi32(both, 4) : both, values_)};  // takes 4 bits
  }

 private:
  __m512 values_;
};
#elif TENURE_VEC_AVX2
template <uint32_t kBits, bool is_signed>
inline __m256 bits_of_words(__m256i all, uint32_t first) {
  const __m256i top = _mm256_sll_epi32(all, _mm_cvtsi32_si128(static_cast<int>(32 - kBits - first)));
  constexpr int down = 32 - kBits;
  return _mm256_cvtepi32_ps(is_signed ? _mm256_srai_epi32(top, down) : _mm256_srli_epi32(top, down));
}
template <uint32_t kBits, bool is_signed>
inline Vec bits_of_words(const uint8_t* words, uint32_t first) {
  const __m256i* p = reinterpret_cast<const __m256i*>(words);
  return {bits_of_words<kBits, is_signed>(_mm256_loadu_si256(p), first),
          bits_of_words<kBits, is_signed>(_mm256_loadu_si256(p + 1), first)};
}
inline __m256i eight_bytes(const uint8_t* bytes) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes)));
}
inline Vec signed_bytes(const uint8_t* bytes) {
  const auto half = [](const uint8_t* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  };
  return {half(bytes), half(bytes + 8)};
}
class NibbleValues {
 public:
  NibbleValues(float scale, float minimum)
      : scale_(_mm256_set1_ps(scale)), minimum_(_mm256_set1_ps(minimum)) {}
  Vec operator()(const uint8_t* bytes, bool high) const { return {half(bytes, high), half(bytes + 8, high)}; }

 private:
  __m256 half(const uint8_t* bytes, bool high) const {
    const __m256i both = eight_bytes(bytes);
    const __m256i one = high ? _mm256_srli_epi32(both, 4) : _mm256_and_si256(both, _mm256_set1_epi32(15));
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(one), scale_, minimum_);
  }
  __m256 scale_;
  __m256 minimum_;
};
#else
template <uint32_t kBits, bool is_signed>
inline Vec bits_of_words(const uint8_t* words, uint32_t first) {
  return each([&](int lane) {
    const uint8_t byte = words[4 * lane + static_cast<int>(first / 8)];
    if constexpr (is_signed) return static_cast<float>(static_cast<int8_t>(byte));
    return static_cast<float>(byte >> first % 8 & ((1 << kBits) - 1));
  });
}
inline Vec signed_bytes(const uint8_t* bytes) {
  return each([&](int i) { return static_cast<float>(static_cast<int8_t>(bytes[i])); });
}
class NibbleValues {
 public:
  NibbleValues(float scale, float minimum) : scale_(scale), minimum_(minimum) {}
  Vec operator()(const uint8_t* bytes, bool high) const {
    return each([&](int i) { return static_cast<float>(bytes[i] >> 4 * high & 15) * scale_ + minimum_; });
  }

 private:
  float scale_;
  float minimum_;
};
#endif

// Scales, or minimums, of one group of a page's 16 slots.
template <class T>
inline Vec scales_at(const uint8_t* page, uint32_t group) {
  return load(reinterpret_cast<const F16*>(page) + group * 16);
}
template <class T>
inline Vec minimums_at(const uint8_t* page, uint32_t head_dim, uint32_t group) {
  if constexpr (!T::has_minimum) return zero();
  return load(reinterpret_cast<const F16*>(page) + (head_dim / kGroup + group) * 16);
}

// Element d of a page's 16 keys.
template <class T>
class PageKeys {
 public:
  PageKeys(const uint8_t* page, uint32_t) : keys_(reinterpret_cast<const T*>(page)) {}
  Vec operator()(uint32_t d) const { return load(keys_ + d * 16); }

 private:
  const T* keys_;
};

template <class T>
requires is_coded<T>
class PageKeys<T> {
 public:
  PageKeys(const uint8_t* page, uint32_t head_dim) : page_(page), head_dim_(head_dim) {}
  Vec operator()(uint32_t d) const {
    const uint32_t group = d / kGroup;
    const uint8_t* lines = page_ + halves_bytes<T>(head_dim_) + group * T::bits * kWordLine;
    return fma(codes(lines, d % kGroup), scales_at<T>(page_, group), minimums_at<T>(page_, head_dim_, group));
  }

 private:
  // Element i of a group; each of its `bits` lines has a word of 4 bytes.
  static Vec codes(const uint8_t* lines, uint32_t i) {
    const uint32_t byte = i % 4;
    const uint32_t word = i / 4;
    if constexpr (T::bits == 8) return bits_of_words<8, true>(lines + word * kWordLine, 8 * byte);
    const Vec nibbles = bits_of_words<4, false>(lines + word % 4 * kWordLine, 8 * byte + word / 4 * 4);
    if constexpr (T::bits == 4) return nibbles;
    return fma(bits_of_words<1, false>(lines + 4 * kWordLine, 8 * byte + word), broadcast(16), nibbles);
  }

  const uint8_t* page_;
  uint32_t head_dim_;
};
// Elements [dim, dim + 16 * kVecs) of a page's values, and the weights of some heads (kHeads, 16 slots) that
// meet them: a row is what multiplied by its slot's weight is the value weighed.
template <class T, int kHeads, int kVecs>
class WeighedValues {
 public:
  WeighedValues(const uint8_t* page, uint32_t head_dim, uint32_t dim, const float* weights)
      : rows_(reinterpret_cast<const T*>(page) + dim), head_dim_(head_dim), weights_(weights) {}
  void row(uint32_t slot, Vec (&row)[kVecs]) const {
#pragma GCC unroll 4
    for (int j = 0; j < kVecs; ++j) row[j] = load(rows_ + slot * head_dim_ + 16 * j);
  }
  Vec weight(int head, uint32_t slot, int) const {
    return broadcast(weights_[16 * head + static_cast<int>(slot)]);
  }

 private:
  const T* rows_;
  uint32_t head_dim_;
  const float* weights_;
};

// Rows of codes; the scales go into the weights.
template <int kHeads, int kVecs>
class WeighedValues<Q8, kHeads, kVecs> {
 public:
  WeighedValues(const uint8_t* page, uint32_t head_dim, uint32_t dim, const float* weights)
      : rows_(page + halves_bytes<Q8>(head_dim) + dim), head_dim_(head_dim) {
#pragma GCC unroll 2
    for (uint32_t g = 0; g < kGroups; ++g) {
      const Vec scales = scales_at<Q8>(page, dim / kGroup + g);
#pragma GCC unroll 4
      for (int h = 0; h < kHeads; ++h) store(weights_[h][g], load(weights + 16 * h) * scales);
    }
  }
  void row(uint32_t slot, Vec (&row)[kVecs]) const {
#pragma GCC unroll 4
    for (int j = 0; j < kVecs; ++j) row[j] = signed_bytes(rows_ + slot * head_dim_ + 16 * j);
  }
  Vec weight(int head, uint32_t slot, int vec) const {
    return broadcast(weights_[head][vec / 2][slot]);
  }

 private:
  static constexpr uint32_t kGroups = (kVecs + 1) / 2;
  const uint8_t* rows_;
  uint32_t head_dim_;
  alignas(64) float weights_[kHeads][kGroups][16];
};

template <int kHeads, int kVecs>
class WeighedValues<Q4, kHeads, kVecs> {
 public:
  WeighedValues(const uint8_t* page, uint32_t head_dim, uint32_t dim, const float* weights)
      : rows_(page + halves_bytes<Q4>(head_dim) + dim / kGroup * 16),
        stride_(head_dim / 2),
        begins_high_(dim % kGroup != 0),
        weights_(weights) {
#pragma GCC unroll 2
    for (uint32_t g = 0; g < kGroups; ++g) {
      store(scales_[g], scales_at<Q4>(page, dim / kGroup + g));
      store(minimums_[g], minimums_at<Q4>(page, head_dim, dim / kGroup + g));
    }
  }
  void row(uint32_t slot, Vec (&row)[kVecs]) const {
    const uint8_t* bytes = rows_ + slot * stride_;
#pragma GCC unroll 2
    for (uint32_t g = 0; g < kGroups; ++g, bytes += 16) {
      const NibbleValues values(scales_[g][slot], minimums_[g][slot]);
      if constexpr (kVecs == 1) {
        row[0] = values(bytes, begins_high_);
      } else {
        row[2 * g] = values(bytes, false);
        row[2 * g + 1] = values(bytes, true);
      }
    }
  }
  Vec weight(int head, uint32_t slot, int) const {
    return broadcast(weights_[16 * head + static_cast<int>(slot)]);
  }

 private:
  static constexpr uint32_t kGroups = (kVecs + 1) / 2;
  const uint8_t* rows_;
  uint32_t stride_;
  bool begins_high_;
  const float* weights_;
  alignas(64) float scales_[kGroups][16];
  alignas(64) float minimums_[kGroups][16];
};

// Elements [dim, dim + 16) of a page's values.
template <class T>
class PageValues {
 public:
  PageValues(const uint8_t* page, uint32_t head_dim, uint32_t dim) : values_(page, head_dim, dim, ones_) {}
  Vec operator()(uint32_t slot) const {
    Vec row[1];
    values_.row(slot, row);
    if constexpr (is_coded<T>) return row[0] * values_.weight(0, slot, 0);
    return row[0];
  }

 private:
  static constexpr float ones_[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  WeighedValues<T, 1, 1> values_;
};

}  // namespace
}  // namespace tenure::cpu
