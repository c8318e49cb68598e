// Sixteen floats and the few things attention does with them, for the instruction set this file is compiled
// for.
//
// Included only by the files that are built once per instruction set. Everything is in an unnamed namespace:
// an inline function compiled with AVX-512 must never be the copy that the linker keeps for a machine without
// it. For the same reason nothing of the standard library is called here.
#pragma once

#include <tenure/abi.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define TENURE_VEC_AVX512 1
#include <immintrin.h>
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define TENURE_VEC_AVX2 1
#include <immintrin.h>
#endif

namespace tenure::cpu {
namespace {

// Elements of a cache page. Distinct types, so that overloads choose the conversion.
struct F16 {
  uint16_t bits;
};
struct Bf16 {
  uint16_t bits;
};

constexpr float kNoScore = -__builtin_inff();
// 2^f = 1 + f * (c0 + c1 f + … + c4 f^4) on [-1/2, 1/2], relative error 2.1e-7; exactly 1 at 0, which the
// no-op rescaling of an online softmax needs.
constexpr float kExp2[5] = {0.6931471806f, 0.2402234904f, 0.0555038101f, 0.0096663685f, 0.0013381303f};
// Below this a weight is taken as exactly 0: no denormals, and masked scores (-inf) need no branch.
constexpr float kExp2Floor = -126.0f;

#if TENURE_VEC_AVX512

struct Vec {
  __m512 v;
};
inline Vec zero() {
  return {_mm512_setzero_ps()};
}
inline Vec broadcast(float x) {
  return {_mm512_set1_ps(x)};
}
inline Vec load(const float* p) {
  return {_mm512_loadu_ps(p)};
}
inline Vec load(const F16* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline Vec load(const Bf16* p) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}
inline void store(float* p, Vec a) {
  _mm512_storeu_ps(p, a.v);
}
inline void store(F16* p, Vec a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT));
}
inline void store(Bf16* p, Vec a) {
  const __m512i bits = _mm512_castps_si512(a.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  __m512i rounded =
      _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
  const __mmask16 nan = _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q);
  rounded = _mm512_mask_mov_epi32(rounded, nan, _mm512_set1_epi32(0x7fc0));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(rounded));
}
inline Vec operator+(Vec a, Vec b) {
  return {_mm512_add_ps(a.v, b.v)};
}
inline Vec operator-(Vec a, Vec b) {
  return {_mm512_sub_ps(a.v, b.v)};
}
inline Vec operator*(Vec a, Vec b) {
  return {_mm512_mul_ps(a.v, b.v)};
}
inline Vec fma(Vec a, Vec b, Vec c) {
  return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
inline Vec operator/(Vec a, Vec b) {
  return {_mm512_div_ps(a.v, b.v)};
}
inline Vec larger(Vec a, Vec b) {
  return {_mm512_max_ps(a.v, b.v)};
}
inline Vec lesser(Vec a, Vec b) {
  return {_mm512_min_ps(a.v, b.v)};
}
// Rounded to the nearest whole numbers, ties to even; |a| < 2^22.
inline void store_whole(int32_t* p, Vec a) {
  _mm512_storeu_si512(p, _mm512_cvtps_epi32(a.v));
}
inline bool any_above(Vec a, float b) {
  return _mm512_cmp_ps_mask(a.v, _mm512_set1_ps(b), _CMP_GT_OQ) != 0;
}
inline float largest(Vec a) {
  return _mm512_reduce_max_ps(a.v);
}
inline float sum(Vec a) {
  return _mm512_reduce_add_ps(a.v);
}
// Lane i of the result is lane i ^ kDistance, a power of two.
template <int kDistance>
inline Vec swap_lanes(Vec a) {
  if constexpr (kDistance < 4) return {_mm512_permute_ps(a.v, kDistance == 1 ? 0xb1 : 0x4e)};
  return {_mm512_shuffle_f32x4(a.v, a.v, kDistance == 4 ? 0xb1 : 0x4e)};
}
inline Vec exp2(Vec x) {
  const __mmask16 alive = _mm512_cmp_ps_mask(x.v, _mm512_set1_ps(kExp2Floor), _CMP_NLT_UQ);
  const __m512 n = _mm512_roundscale_ps(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 f = _mm512_sub_ps(x.v, n);
  __m512 p = _mm512_set1_ps(kExp2[4]);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(kExp2[3]));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(kExp2[2]));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(kExp2[1]));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(kExp2[0]));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
  return {_mm512_maskz_scalef_ps(alive, p, n)};
}
// Scores of the slots whose position is in [oldest, newest]; -inf elsewhere.
inline Vec visible_only(Vec score, const int32_t* pos, int32_t oldest, int32_t newest) {
  const __m512i p = _mm512_loadu_si512(pos);
  const __mmask16 old = _mm512_cmp_epi32_mask(p, _mm512_set1_epi32(oldest), _MM_CMPINT_NLT);
  const __mmask16 seen = _mm512_mask_cmp_epi32_mask(old, p, _mm512_set1_epi32(newest), _MM_CMPINT_LE);
  return {_mm512_mask_blend_ps(seen, _mm512_set1_ps(kNoScore), score.v)};
}

#elif TENURE_VEC_AVX2

struct Vec {
  __m256 lo, hi;
};
inline Vec zero() {
  return {_mm256_setzero_ps(), _mm256_setzero_ps()};
}
inline Vec broadcast(float x) {
  return {_mm256_set1_ps(x), _mm256_set1_ps(x)};
}
inline Vec load(const float* p) {
  return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
inline Vec load(const F16* p) {
  const __m128i* q = reinterpret_cast<const __m128i*>(p);
  return {_mm256_cvtph_ps(_mm_loadu_si128(q)), _mm256_cvtph_ps(_mm_loadu_si128(q + 1))};
}
inline __m256 widen(const Bf16* p) {
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
inline Vec load(const Bf16* p) {
  return {widen(p), widen(p + 8)};
}
inline void store(float* p, Vec a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
inline void store(F16* p, Vec a) {
  __m128i* q = reinterpret_cast<__m128i*>(p);
  _mm_storeu_si128(q, _mm256_cvtps_ph(a.lo, _MM_FROUND_TO_NEAREST_INT));
  _mm_storeu_si128(q + 1, _mm256_cvtps_ph(a.hi, _MM_FROUND_TO_NEAREST_INT));
}
inline void narrow(Bf16* p, __m256 a) {
  const __m256i bits = _mm256_castps_si256(a);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  __m256i rounded =
      _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
  rounded = _mm256_blendv_epi8(rounded, _mm256_set1_epi32(0x7fc0), nan);
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(rounded, rounded), 0x08);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(packed));
}
inline void store(Bf16* p, Vec a) {
  narrow(p, a.lo);
  narrow(p + 8, a.hi);
}
inline Vec operator+(Vec a, Vec b) {
  return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}
inline Vec operator-(Vec a, Vec b) {
  return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}
inline Vec operator*(Vec a, Vec b) {
  return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}
inline Vec fma(Vec a, Vec b, Vec c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
inline Vec operator/(Vec a, Vec b) {
  return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}
inline Vec larger(Vec a, Vec b) {
  return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
}
inline Vec lesser(Vec a, Vec b) {
  return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)};
}
inline void store_whole(int32_t* p, Vec a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_cvtps_epi32(a.lo));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 8), _mm256_cvtps_epi32(a.hi));
}
inline bool any_above(Vec a, float b) {
  const __m256 limit = _mm256_set1_ps(b);
  return _mm256_movemask_ps(_mm256_or_ps(_mm256_cmp_ps(a.lo, limit, _CMP_GT_OQ),
                                         _mm256_cmp_ps(a.hi, limit, _CMP_GT_OQ))) != 0;
}
inline float largest(Vec a) {
  __m256 m = _mm256_max_ps(a.lo, a.hi);
  __m128 x = _mm_max_ps(_mm256_castps256_ps128(m), _mm256_extractf128_ps(m, 1));
  x = _mm_max_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}
inline float sum(Vec a) {
  __m256 m = _mm256_add_ps(a.lo, a.hi);
  __m128 x = _mm_add_ps(_mm256_castps256_ps128(m), _mm256_extractf128_ps(m, 1));
  x = _mm_add_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
template <int kDistance>
inline Vec swap_lanes(Vec a) {
  if constexpr (kDistance == 8) return {a.hi, a.lo};
  if constexpr (kDistance == 4)
    return {_mm256_permute2f128_ps(a.lo, a.lo, 1), _mm256_permute2f128_ps(a.hi, a.hi, 1)};
  constexpr int order = kDistance == 1 ? 0xb1 : 0x4e;
  return {_mm256_permute_ps(a.lo, order), _mm256_permute_ps(a.hi, order)};
}
inline __m256 exp2(__m256 x) {
  const __m256 alive = _mm256_cmp_ps(x, _mm256_set1_ps(kExp2Floor), _CMP_NLT_UQ);
  const __m256 n = _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m256 f = _mm256_sub_ps(x, n);
  __m256 p = _mm256_set1_ps(kExp2[4]);
  p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(kExp2[3]));
  p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(kExp2[2]));
  p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(kExp2[1]));
  p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(kExp2[0]));
  p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(1.0f));
  const __m256i power =
      _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
  return _mm256_and_ps(alive, _mm256_mul_ps(p, _mm256_castsi256_ps(power)));
}
inline Vec exp2(Vec x) {
  return {exp2(x.lo), exp2(x.hi)};
}
inline __m256 visible_half(__m256 score, const int32_t* pos, int32_t oldest, int32_t newest) {
  const __m256i p = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(pos));
  const __m256i hidden = _mm256_or_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(oldest), p),
                                         _mm256_cmpgt_epi32(p, _mm256_set1_epi32(newest)));
  return _mm256_blendv_ps(score, _mm256_set1_ps(kNoScore), _mm256_castsi256_ps(hidden));
}
inline Vec visible_only(Vec score, const int32_t* pos, int32_t oldest, int32_t newest) {
  return {visible_half(score.lo, pos, oldest, newest), visible_half(score.hi, pos + 8, oldest, newest)};
}

#else

struct Vec {
  float v[16];
};
template <class F>
inline Vec each(F f) {
  Vec r;
  for (int i = 0; i < 16; ++i) r.v[i] = f(i);
  return r;
}
inline float from_bits(uint32_t bits) {
  float f;
  memcpy(&f, &bits, 4);
  return f;
}
inline uint32_t to_bits(float f) {
  uint32_t bits;
  memcpy(&bits, &f, 4);
  return bits;
}
inline float widen(float x) {
  return x;
}
inline float widen(Bf16 x) {
  return from_bits(uint32_t{x.bits} << 16);
}
inline float widen(F16 x) {
  const uint32_t magnitude = x.bits & 0x7fffu;
  const uint32_t sign = (x.bits & 0x8000u) << 16;
  if (magnitude >= 0x7c00) return from_bits(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
  // 2^112 moves the exponent's bias, and the multiplication normalises what was subnormal.
  return from_bits(sign | to_bits(from_bits(magnitude << 13) * 0x1p112f));
}
inline void narrow(float* p, float x) {
  *p = x;
}
inline void narrow(Bf16* p, float x) {
  const uint32_t bits = to_bits(x);
  p->bits = x != x ? uint16_t{0x7fc0} : static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline void narrow(F16* p, float x) {
  const uint32_t sign = to_bits(x) >> 16 & 0x8000;
  const uint32_t magnitude = to_bits(x) & 0x7fffffff;
  uint32_t half = 0;
  if (magnitude >= 0x47800000) {
    half = magnitude > 0x7f800000 ? 0x7e00 : 0x7c00;
  } else if (magnitude < 0x38800000) {  // subnormal: the adder rounds at 2^-24
    half = to_bits(from_bits(magnitude) + 0.5f) - to_bits(0.5f);
  } else {
    half = (magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13;
  }
  p->bits = static_cast<uint16_t>(sign | half);
}
inline Vec zero() {
  return {};
}
inline Vec broadcast(float x) {
  return each([&](int) { return x; });
}
template <class T>
inline Vec load(const T* p) {
  return each([&](int i) { return widen(p[i]); });
}
template <class T>
inline void store(T* p, Vec a) {
  for (int i = 0; i < 16; ++i) narrow(p + i, a.v[i]);
}
inline Vec operator+(Vec a, Vec b) {
  return each([&](int i) { return a.v[i] + b.v[i]; });
}
inline Vec operator-(Vec a, Vec b) {
  return each([&](int i) { return a.v[i] - b.v[i]; });
}
inline Vec operator*(Vec a, Vec b) {
  return each([&](int i) { return a.v[i] * b.v[i]; });
}
inline Vec fma(Vec a, Vec b, Vec c) {
  return each([&](int i) { return a.v[i] * b.v[i] + c.v[i]; });
}
inline Vec operator/(Vec a, Vec b) {
  return each([&](int i) { return a.v[i] / b.v[i]; });
}
inline Vec larger(Vec a, Vec b) {
  return each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline Vec lesser(Vec a, Vec b) {
  return each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline void store_whole(int32_t* p, Vec a) {
  constexpr float unit_is_one = 0x1.8p23f;  // the adder rounds
  for (int i = 0; i < 16; ++i)
    p[i] = static_cast<int32_t>(to_bits(a.v[i] + unit_is_one) - to_bits(unit_is_one));
}
inline bool any_above(Vec a, float b) {
  bool any = false;
  for (int i = 0; i < 16; ++i) any = any || a.v[i] > b;
  return any;
}
inline float largest(Vec a) {
  float m = a.v[0];
  for (int i = 1; i < 16; ++i) m = a.v[i] > m ? a.v[i] : m;
  return m;
}
inline float sum(Vec a) {
  float s = 0;
  for (int i = 0; i < 16; ++i) s += a.v[i];
  return s;
}
template <int kDistance>
inline Vec swap_lanes(Vec a) {
  return each([&](int i) { return a.v[i ^ kDistance]; });
}
inline float exp2(float x) {
  if (x < kExp2Floor) return 0;
  if (x != x) return x;
  const int32_t n = static_cast<int32_t>(x < 0 ? x - 0.5f : x + 0.5f);
  const float f = x - static_cast<float>(n);
  float p = kExp2[4];
  for (int i = 3; i >= 0; --i) p = p * f + kExp2[i];
  return (p * f + 1.0f) * from_bits(static_cast<uint32_t>(n + 127) << 23);
}
inline Vec exp2(Vec x) {
  return each([&](int i) { return exp2(x.v[i]); });
}
inline Vec visible_only(Vec score, const int32_t* pos, int32_t oldest, int32_t newest) {
  return each([&](int i) { return pos[i] >= oldest && pos[i] <= newest ? score.v[i] : kNoScore; });
}

#endif

inline float exp2_scalar(float x) {
  float lanes[16];
  store(lanes, exp2(broadcast(x)));
  return lanes[0];
}

inline uint32_t smaller(uint32_t a, uint32_t b) {
  return a < b ? a : b;
}

}  // namespace
}  // namespace tenure::cpu
