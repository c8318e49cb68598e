// Plain C++: 16 lanes are loops, which any compiler may vectorise for its baseline.
#include "linear_tile.h"
#include "row_math.h"

namespace tenure::cpu {
namespace {

struct Scalar {
  struct F {
    float v[16];
  };
  struct I {
    int32_t v[16];
  };
  struct Bytes {
    uint8_t v[64];
  };
  struct Broadcast {
    int8_t v[4];
  };

  static constexpr int quantised_rows = 1;
  static constexpr int quantised_few_rows = 1;
  static constexpr int quantised_stream_rows = 1;
  static constexpr int quantised_groups(int) { return 1; }
  static constexpr int plain_rows = 1;
  static constexpr int plain_stream_rows = 1;
  static constexpr int plain_groups = 1;

  template <class Out, class Fn>
  static Out each(Fn fn) {
    Out out;
    for (int i = 0; i < 16; ++i) out.v[i] = fn(i);
    return out;
  }

  static void prefetch(const void* p) { __builtin_prefetch(p); }

  static F zero() { return {}; }
  static F set1(float x) {
    return each<F>([&](int) { return x; });
  }
  static F load(const float* p) {
    return each<F>([&](int i) { return p[i]; });
  }
  static void store(float* p, F x) { __builtin_memcpy(p, x.v, sizeof x.v); }
  static F load_first(const float* p, uint32_t n) {
    F out{};
    for (uint32_t i = 0; i < n; ++i) out.v[i] = p[i];
    return out;
  }
  static void store_first(float* p, F x, uint32_t n) {
    for (uint32_t i = 0; i < n; ++i) p[i] = x.v[i];
  }
  static uint16_t half(const uint8_t* p, int i) {
    uint16_t bits;
    __builtin_memcpy(&bits, p + 2 * i, 2);
    return bits;
  }
  static F load_f16(const uint8_t* p) {
    return each<F>([&](int i) { return f16_to_f32(half(p, i)); });
  }
  static F load_bf16(const uint8_t* p) {
    return each<F>([&](int i) {
      const uint32_t bits = uint32_t{half(p, i)} << 16;
      float value;
      __builtin_memcpy(&value, &bits, 4);
      return value;
    });
  }
  static F load_i8(const uint8_t* p) {
    return each<F>([&](int i) { return static_cast<float>(static_cast<int8_t>(p[i])); });
  }

  static F add(const F& a, const F& b) {
    return each<F>([&](int i) { return a.v[i] + b.v[i]; });
  }
  static F sub(const F& a, const F& b) {
    return each<F>([&](int i) { return a.v[i] - b.v[i]; });
  }
  static F mul(const F& a, const F& b) {
    return each<F>([&](int i) { return a.v[i] * b.v[i]; });
  }
  static F div(const F& a, const F& b) {
    return each<F>([&](int i) { return a.v[i] / b.v[i]; });
  }
  // As the vector instructions: the second operand when either is NaN.
  static F min(const F& a, const F& b) {
    return each<F>([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
  }
  static F max(const F& a, const F& b) {
    return each<F>([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  static F fma(const F& a, const F& b, const F& c) {
    return each<F>([&](int i) { return a.v[i] * b.v[i] + c.v[i]; });
  }
  static float reduce_add(const F& x) {
    float sum = 0;
    for (float v : x.v) sum += v;
    return sum;
  }
  static float reduce_max(const F& x) {
    float largest = x.v[0];
    for (float v : x.v) largest = v > largest ? v : largest;
    return largest;
  }

  static I set1(int32_t x) {
    return each<I>([&](int) { return x; });
  }
  static I add(const I& a, const I& b) {
    return each<I>([&](int i) { return a.v[i] + b.v[i]; });
  }
  static int32_t reduce_add(const I& x) {
    int32_t sum = 0;
    for (int32_t v : x.v) sum += v;
    return sum;
  }
  static F to_float(const I& x) {
    return each<F>([&](int i) { return static_cast<float>(x.v[i]); });
  }
  // Adding 1.5 * 2^23 leaves the nearest integer, ties to even, in the low bits; good for |x| < 2^22.
  static I to_int(const F& x) {
    return each<I>([&](int i) {
      const float shifted = x.v[i] + 12582912.0f;
      int32_t bits;
      __builtin_memcpy(&bits, &shifted, 4);
      return bits - 0x4b400000;
    });
  }
  static F power_of_two(const I& n) {
    return each<F>([&](int i) {
      const uint32_t bits = (static_cast<uint32_t>(n.v[i]) + 127u) << 23;
      float value;
      __builtin_memcpy(&value, &bits, 4);
      return value;
    });
  }
  static I magnitude_bits(const F& x) {
    I out;
    __builtin_memcpy(out.v, x.v, sizeof out.v);
    return each<I>([&](int i) { return out.v[i] & 0x7fffffff; });
  }
  static I max_bits(const I& a, const I& b) {
    return each<I>([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  static uint32_t reduce_max_bits(const I& x) {
    int32_t largest = 0;
    for (int32_t v : x.v) largest = v > largest ? v : largest;
    return static_cast<uint32_t>(largest);
  }
  static void store_i8(int8_t* p, const I& x) {
    for (int i = 0; i < 16; ++i) p[i] = static_cast<int8_t>(x.v[i]);
  }

  static Bytes load_bytes(const uint8_t* p) {
    Bytes out;
    __builtin_memcpy(out.v, p, sizeof out.v);
    return out;
  }
  static Bytes low_nibbles(Bytes x) {
    for (uint8_t& v : x.v) v &= 15;
    return x;
  }
  static Bytes high_nibbles(Bytes x) {
    for (uint8_t& v : x.v) v >>= 4;
    return x;
  }
  template <int kLeft, int kMask>
  static Bytes merge_bits(Bytes low, const Bytes& plane) {
    for (int i = 0; i < 64; ++i) {
      const int moved = kLeft >= 0 ? plane.v[i] << (kLeft & 7) : plane.v[i] >> (-kLeft & 7);
      low.v[i] |= static_cast<uint8_t>(moved & kMask);
    }
    return low;
  }
  static Broadcast broadcast4(const int8_t* p) { return {{p[0], p[1], p[2], p[3]}}; }
  static I q8_start(int32_t minus_sum) { return set1(minus_sum * 128); }
  static I dot_q8(const I& sum, const Bytes& w, Broadcast x) {
    return each<I>([&](int i) {
      const uint8_t* four = w.v + 4 * i;
      return sum.v[i] + four[0] * x.v[0] + four[1] * x.v[1] + four[2] * x.v[2] + four[3] * x.v[3];
    });
  }
  static I dot(const I& sum, const Bytes& w, Broadcast x) { return dot_q8(sum, w, x); }
};

}  // namespace

const Kernels kScalarKernels = {.name = "scalar",
                                .linear = linear_any<Scalar>,
                                .quantise = quantise<Scalar>,
                                .rms_norm = rms_norm<Scalar>,
                                .add_rms_norm = add_rms_norm<Scalar>,
                                .silu_mul = silu_mul<Scalar>,
                                .gelu_mul = gelu_mul<Scalar>,
                                .reduce_logits = reduce_logits<Scalar>};

}  // namespace tenure::cpu
