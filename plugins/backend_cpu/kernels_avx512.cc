// AVX-512 with VNNI: 16 lanes, unsigned bytes x signed bytes summed in fours.
#include <immintrin.h>

#include "linear_tile.h"
#include "row_math.h"

namespace tenure::cpu {
namespace {

#define TENURE_INLINE [[gnu::always_inline]] static inline

struct Avx512 {
  using F = __m512;
  using I = __m512i;
  using Bytes = __m512i;
  using Broadcast = __m512i;

  // 32 registers: 6 x 2 integer and as many float accumulators, 2 weights, 1 broadcast.
  static constexpr int quantised_rows = 6;
  static constexpr int quantised_few_rows = 3;
  static constexpr int quantised_stream_rows = 4;  // x 4 float accumulators, and as many integer ones
  static constexpr int quantised_groups(int rows) { return rows <= 3 ? 4 : 2; }
  static constexpr int plain_rows = 6;
  static constexpr int plain_stream_rows = 6;
  static constexpr int plain_groups = 4;

  TENURE_INLINE void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }

  TENURE_INLINE F zero() { return _mm512_setzero_ps(); }
  TENURE_INLINE F set1(float x) { return _mm512_set1_ps(x); }
  TENURE_INLINE F load(const float* p) { return _mm512_loadu_ps(p); }
  TENURE_INLINE void store(float* p, F x) { _mm512_storeu_ps(p, x); }
  TENURE_INLINE __mmask16 first(uint32_t n) { return static_cast<__mmask16>((1u << n) - 1); }
  TENURE_INLINE F load_first(const float* p, uint32_t n) { return _mm512_maskz_loadu_ps(first(n), p); }
  TENURE_INLINE void store_first(float* p, F x, uint32_t n) { _mm512_mask_storeu_ps(p, first(n), x); }
  TENURE_INLINE F load_f16(const uint8_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  TENURE_INLINE F load_bf16(const uint8_t* p) {
    const I wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
  }
  TENURE_INLINE F load_i8(const uint8_t* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }

  TENURE_INLINE F add(F a, F b) { return _mm512_add_ps(a, b); }
  TENURE_INLINE F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  TENURE_INLINE F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  TENURE_INLINE F div(F a, F b) { return _mm512_div_ps(a, b); }
  TENURE_INLINE F min(F a, F b) { return _mm512_min_ps(a, b); }
  TENURE_INLINE F max(F a, F b) { return _mm512_max_ps(a, b); }
  TENURE_INLINE F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  TENURE_INLINE float reduce_add(F x) { return _mm512_reduce_add_ps(x); }
  TENURE_INLINE float reduce_max(F x) { return _mm512_reduce_max_ps(x); }

  TENURE_INLINE I set1(int32_t x) { return _mm512_set1_epi32(x); }
  TENURE_INLINE I add(I a, I b) { return _mm512_add_epi32(a, b); }
  TENURE_INLINE int32_t reduce_add(I x) { return _mm512_reduce_add_epi32(x); }
  TENURE_INLINE F to_float(I x) { return _mm512_cvtepi32_ps(x); }
  TENURE_INLINE I to_int(F x) { return _mm512_cvtps_epi32(x); }
  TENURE_INLINE F power_of_two(I n) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(n, _mm512_set1_epi32(127)), 23));
  }
  TENURE_INLINE I magnitude_bits(F x) {
    return _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff));
  }
  TENURE_INLINE I max_bits(I a, I b) { return _mm512_max_epu32(a, b); }
  TENURE_INLINE uint32_t reduce_max_bits(I x) { return _mm512_reduce_max_epu32(x); }
  TENURE_INLINE void store_i8(int8_t* p, I x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(x));
  }

  TENURE_INLINE Bytes load_bytes(const uint8_t* p) { return _mm512_loadu_si512(p); }
  TENURE_INLINE Bytes low_nibbles(Bytes x) { return _mm512_and_si512(x, _mm512_set1_epi8(15)); }
  TENURE_INLINE Bytes high_nibbles(Bytes x) { return low_nibbles(_mm512_srli_epi16(x, 4)); }
  // low | (plane << kLeft & kMask) in every byte; what a shift of words carries over the mask takes off.
  template <int kLeft, int kMask>
  TENURE_INLINE Bytes merge_bits(Bytes low, Bytes plane) {
    const __m512i moved =
        kLeft >= 0 ? _mm512_slli_epi16(plane, kLeft & 7) : _mm512_srli_epi16(plane, -kLeft & 7);
    return _mm512_ternarylogic_epi32(low, moved, _mm512_set1_epi8(kMask), 0xf8);
  }
  TENURE_INLINE Broadcast broadcast4(const int8_t* p) {
    int32_t word;
    __builtin_memcpy(&word, p, 4);
    return _mm512_set1_epi32(word);
  }
  TENURE_INLINE I q8_start(int32_t minus_sum) { return _mm512_set1_epi32(minus_sum * 128); }
  TENURE_INLINE I dot_q8(I sum, Bytes weights, Broadcast x) { return _mm512_dpbusd_epi32(sum, weights, x); }
  TENURE_INLINE I dot(I sum, Bytes weights, Broadcast x) { return _mm512_dpbusd_epi32(sum, weights, x); }
};

#undef TENURE_INLINE

}  // namespace

const Kernels kAvx512Kernels = {.name = "avx512",
                                .linear = linear_any<Avx512>,
                                .quantise = quantise<Avx512>,
                                .rms_norm = rms_norm<Avx512>,
                                .add_rms_norm = add_rms_norm<Avx512>,
                                .silu_mul = silu_mul<Avx512>,
                                .gelu_mul = gelu_mul<Avx512>,
                                .reduce_logits = reduce_logits<Avx512>};

}  // namespace tenure::cpu
