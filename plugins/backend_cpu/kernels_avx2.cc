// AVX2 with FMA and F16C: 16 lanes are two registers.
#include <immintrin.h>

#include "linear_tile.h"
#include "row_math.h"

namespace tenure::cpu {
namespace {

#define TENURE_INLINE [[gnu::always_inline]] static inline

struct Avx2 {
  struct F {
    __m256 a, b;
  };
  struct I {
    __m256i a, b;
  };
  using Bytes = I;
  using Broadcast = __m256i;

  // 16 registers: 2 x 1 integer and as many float accumulators are 8 of them.
  static constexpr int quantised_rows = 2;
  static constexpr int quantised_few_rows = 2;
  // 2 x 4 float accumulators do not fit, but each is touched once a block.
  static constexpr int quantised_stream_rows = 2;
  static constexpr int quantised_groups(int rows) { return rows == 1 ? 2 : 1; }
  static constexpr int plain_rows = 3;
  static constexpr int plain_stream_rows = 1;
  static constexpr int plain_groups = 2;

  TENURE_INLINE void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }

  TENURE_INLINE F zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  TENURE_INLINE F set1(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  TENURE_INLINE F load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  TENURE_INLINE void store(float* p, F x) {
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
  }
  TENURE_INLINE F load_first(const float* p, uint32_t n) {
    alignas(32) float lanes[kLanes] = {};
    for (uint32_t i = 0; i < n; ++i) lanes[i] = p[i];
    return load(lanes);
  }
  TENURE_INLINE void store_first(float* p, F x, uint32_t n) {
    alignas(32) float lanes[kLanes];
    store(lanes, x);
    for (uint32_t i = 0; i < n; ++i) p[i] = lanes[i];
  }
  TENURE_INLINE __m256 half_f16(const uint8_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  TENURE_INLINE F load_f16(const uint8_t* p) { return {half_f16(p), half_f16(p + 16)}; }
  TENURE_INLINE __m256 half_bf16(const uint8_t* p) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
  }
  TENURE_INLINE F load_bf16(const uint8_t* p) { return {half_bf16(p), half_bf16(p + 16)}; }
  TENURE_INLINE __m256 half_i8(const uint8_t* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
  TENURE_INLINE F load_i8(const uint8_t* p) { return {half_i8(p), half_i8(p + 8)}; }

  TENURE_INLINE F add(F x, F y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
  TENURE_INLINE F sub(F x, F y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
  TENURE_INLINE F mul(F x, F y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
  TENURE_INLINE F div(F x, F y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
  TENURE_INLINE F min(F x, F y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
  TENURE_INLINE F max(F x, F y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
  TENURE_INLINE F fma(F x, F y, F z) {
    return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
  }
  TENURE_INLINE float reduce_add(F x) {
    const __m256 eight = _mm256_add_ps(x.a, x.b);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
  }
  TENURE_INLINE float reduce_max(F x) {
    const __m256 eight = _mm256_max_ps(x.a, x.b);
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
  }

  TENURE_INLINE I set1(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
  TENURE_INLINE I add(I x, I y) { return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)}; }
  TENURE_INLINE int32_t reduce_add(I x) {
    const __m256i eight = _mm256_add_epi32(x.a, x.b);
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    four = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
    return _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 1)));
  }
  TENURE_INLINE F to_float(I x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
  TENURE_INLINE I to_int(F x) { return {_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)}; }
  TENURE_INLINE F power_of_two(I n) {
    const I biased = add(n, set1(int32_t{127}));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(biased.a, 23)),
            _mm256_castsi256_ps(_mm256_slli_epi32(biased.b, 23))};
  }
  TENURE_INLINE I magnitude_bits(F x) {
    const __m256i mask = _mm256_set1_epi32(0x7fffffff);
    return {_mm256_and_si256(_mm256_castps_si256(x.a), mask),
            _mm256_and_si256(_mm256_castps_si256(x.b), mask)};
  }
  TENURE_INLINE I max_bits(I x, I y) { return {_mm256_max_epu32(x.a, y.a), _mm256_max_epu32(x.b, y.b)}; }
  TENURE_INLINE uint32_t reduce_max_bits(I x) {
    const __m256i eight = _mm256_max_epu32(x.a, x.b);
    __m128i four = _mm_max_epu32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    four = _mm_max_epu32(four, _mm_unpackhi_epi64(four, four));
    return static_cast<uint32_t>(_mm_cvtsi128_si32(_mm_max_epu32(four, _mm_shuffle_epi32(four, 1))));
  }
  TENURE_INLINE void store_i8(int8_t* p, I x) {
    const __m128i low = _mm_packs_epi32(_mm256_castsi256_si128(x.a), _mm256_extracti128_si256(x.a, 1));
    const __m128i high = _mm_packs_epi32(_mm256_castsi256_si128(x.b), _mm256_extracti128_si256(x.b, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(low, high));
  }

  TENURE_INLINE Bytes load_bytes(const uint8_t* p) {
    const __m256i* v = reinterpret_cast<const __m256i*>(p);
    return {_mm256_loadu_si256(v), _mm256_loadu_si256(v + 1)};
  }
  TENURE_INLINE __m256i low_nibbles(__m256i x) { return _mm256_and_si256(x, _mm256_set1_epi8(15)); }
  TENURE_INLINE Bytes low_nibbles(Bytes x) { return {low_nibbles(x.a), low_nibbles(x.b)}; }
  TENURE_INLINE Bytes high_nibbles(Bytes x) {
    return {low_nibbles(_mm256_srli_epi16(x.a, 4)), low_nibbles(_mm256_srli_epi16(x.b, 4))};
  }
  // low | (plane << kLeft & kMask) in every byte; what a shift of words carries over the mask takes off.
  template <int kLeft, int kMask>
  TENURE_INLINE __m256i merge_bits(__m256i low, __m256i plane) {
    const __m256i moved =
        kLeft >= 0 ? _mm256_slli_epi16(plane, kLeft & 7) : _mm256_srli_epi16(plane, -kLeft & 7);
    return _mm256_or_si256(low, _mm256_and_si256(moved, _mm256_set1_epi8(kMask)));
  }
  template <int kLeft, int kMask>
  TENURE_INLINE Bytes merge_bits(Bytes low, Bytes plane) {
    return {merge_bits<kLeft, kMask>(low.a, plane.a), merge_bits<kLeft, kMask>(low.b, plane.b)};
  }
  TENURE_INLINE Broadcast broadcast4(const int8_t* p) {
    int32_t word;
    __builtin_memcpy(&word, p, 4);
    return _mm256_set1_epi32(word);
  }
  // Sums of four products of unsigned and signed bytes; pairs must stay within 16 bits.
  TENURE_INLINE __m256i sum_fours(__m256i sum, __m256i unsigned_bytes, __m256i signed_bytes) {
    const __m256i pairs = _mm256_maddubs_epi16(unsigned_bytes, signed_bytes);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  // Bytes of 0..255 would overflow the pairs, so the offset goes off first and the sign moves to the
  // activation: |weight| <= 128 times |q| <= 127, twice, is 32512.
  TENURE_INLINE __m256i dot_q8(__m256i sum, __m256i weights, __m256i x) {
    const __m256i w = _mm256_xor_si256(weights, _mm256_set1_epi8(static_cast<char>(0x80)));
    return sum_fours(sum, _mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
  }
  TENURE_INLINE I q8_start(int32_t) { return set1(int32_t{0}); }
  TENURE_INLINE I dot_q8(I sum, Bytes w, Broadcast x) {
    return {dot_q8(sum.a, w.a, x), dot_q8(sum.b, w.b, x)};
  }
  TENURE_INLINE I dot(I sum, Bytes w, Broadcast x) {
    return {sum_fours(sum.a, w.a, x), sum_fours(sum.b, w.b, x)};
  }
};

#undef TENURE_INLINE

}  // namespace

const Kernels kAvx2Kernels = {.name = "avx2",
                              .linear = linear_any<Avx2>,
                              .quantise = quantise<Avx2>,
                              .rms_norm = rms_norm<Avx2>,
                              .add_rms_norm = add_rms_norm<Avx2>,
                              .silu_mul = silu_mul<Avx2>,
                              .gelu_mul = gelu_mul<Avx2>,
                              .reduce_logits = reduce_logits<Avx2>};

}  // namespace tenure::cpu
