// Quantised formats as the tiles of linear_tile.h read them, written once over an instruction set `Isa`.
//
// A format has steps: step s yields the unsigned values of one word, that is four consecutive k of each row,
// and input_word(s) says which four. Steps 2 i and 2 i + 1 of formats of nibbles share a load. The steps are
// dealt out evenly to `spans`, a span being the inputs under one scale: a block of 32, or half of one.
#pragma once

#include "kernels.h"

namespace tenure::cpu {
namespace {

// One block of 32 inputs of the first group of a tile.
struct BlockAt {
  const uint8_t* head;
  const uint8_t* scales;
  uint32_t min_offset;

  template <class Isa>
  [[gnu::always_inline]] typename Isa::F half_scale(int g) const {
    return Isa::load_f16(head + 32 * g);
  }
  template <class Isa>
  [[gnu::always_inline]] typename Isa::F half_minimum(int g) const {
    return Isa::load_f16(head + min_offset + 32 * g);
  }
  // K-quants: `which` of a group's two rows of 16.
  template <class Isa>
  [[gnu::always_inline]] typename Isa::F small_scale(int g, int which) const {
    return Isa::load_i8(scales + 32 * g + 16 * which);
  }
};

// ---- values ----

template <uint32_t>
struct Bytes8 {
  static constexpr int n_steps = 8;
  static constexpr int input_word(int step) { return step; }
  template <class Isa, int kStep>
  [[gnu::always_inline]] static typename Isa::Bytes values(const uint8_t* body) {
    return Isa::load_bytes(body + kLineBytes * kStep);
  }
};

// The low nibbles are the block's first half, the high nibbles its second.
template <uint32_t kDtype>
struct Nibbles {
  static constexpr int n_steps = 8;
  static constexpr int input_word(int step) { return step / 2 + step % 2 * 4; }
  template <class Isa, int kStep>
  [[gnu::always_inline]] static typename Isa::Bytes values(const uint8_t* body) {
    const typename Isa::Bytes both = Isa::load_bytes(body + kLineBytes * nibble_line(kDtype, kStep / 2));
    return kStep % 2 == 0 ? Isa::low_nibbles(both) : Isa::high_nibbles(both);
  }
};

template <uint32_t kDtype>
struct NibblesAndFifthBits : Nibbles<kDtype> {
  template <class Isa, int kStep>
  [[gnu::always_inline]] static typename Isa::Bytes values(const uint8_t* body) {
    constexpr int bit = Nibbles<kDtype>::input_word(kStep);
    const auto fifths = Isa::load_bytes(body + kLineBytes * upper_line(kDtype, 0));
    return Isa::template merge_bits<4 - bit, 0x10>(Nibbles<kDtype>::template values<Isa, kStep>(body),
                                                   fifths);
  }
};

// Low and high nibbles take turns: word by word in the order of k.
template <uint32_t kDtype>
struct NibblesAndPairs {
  static constexpr int n_steps = 8;
  static constexpr int input_word(int step) { return step; }
  template <class Isa, int kStep>
  [[gnu::always_inline]] static typename Isa::Bytes values(const uint8_t* body) {
    constexpr int bit = 2 * (kStep % 4);
    const auto pairs = Isa::load_bytes(body + kLineBytes * upper_line(kDtype, kStep / 4));
    return Isa::template merge_bits<4 - bit, 0x30>(Nibbles<kDtype>::template values<Isa, kStep>(body), pairs);
  }
};

// ---- scales ----

struct ScaleEach32 {
  static constexpr int spans = 1;
  static constexpr bool has_minimum = false;
  template <class Isa>
  [[gnu::always_inline]] static typename Isa::F scale(const BlockAt& at, int g, int) {
    return at.half_scale<Isa>(g);
  }
  static int32_t minus_sum(const ActivationBlock& x, int) { return x.minus_sum; }
};

struct ScaleAndMinimum : ScaleEach32 {
  static constexpr bool has_minimum = true;
  template <class Isa>
  [[gnu::always_inline]] static typename Isa::F minimum(const BlockAt& at, int g) {
    return at.half_minimum<Isa>(g);
  }
};

struct SmallScaleAndMinimum : ScaleEach32 {
  static constexpr bool has_minimum = true;
  template <class Isa>
  [[gnu::always_inline]] static typename Isa::F scale(const BlockAt& at, int g, int) {
    return Isa::mul(at.half_scale<Isa>(g), at.small_scale<Isa>(g, 0));
  }
  template <class Isa>
  [[gnu::always_inline]] static typename Isa::F minimum(const BlockAt& at, int g) {
    return Isa::mul(at.half_minimum<Isa>(g), at.small_scale<Isa>(g, 1));
  }
};

struct SmallScaleEach16 {
  static constexpr int spans = 2;
  static constexpr bool has_minimum = false;
  template <class Isa>
  [[gnu::always_inline]] static typename Isa::F scale(const BlockAt& at, int g, int span) {
    return Isa::mul(at.half_scale<Isa>(g), at.small_scale<Isa>(g, span));
  }
  static int32_t minus_sum(const ActivationBlock& x, int span) {
    return span == 0 ? x.minus_first_sum : x.minus_sum - x.minus_first_sum;
  }
};

// ---- formats ----

template <uint32_t kDtype, template <uint32_t> class Values, class Scales>
struct Quantised : Values<kDtype>, Scales {
  static constexpr uint32_t dtype = kDtype;

  // Undoes the values' offset for one span.
  template <class Isa>
  [[gnu::always_inline]] static typename Isa::I start(const ActivationBlock& x, int span) {
    constexpr auto zero = static_cast<int32_t>(block_format(kDtype).zero);
    if constexpr (kDtype == TENURE_Q8_0) return Isa::q8_start(x.minus_sum);
    return Isa::set1(Scales::minus_sum(x, span) * zero);
  }
};
using Q8_0 = Quantised<TENURE_Q8_0, Bytes8, ScaleEach32>;
using Q4_0 = Quantised<TENURE_Q4_0, Nibbles, ScaleEach32>;
using Q4_1 = Quantised<TENURE_Q4_1, Nibbles, ScaleAndMinimum>;
using Q5_0 = Quantised<TENURE_Q5_0, NibblesAndFifthBits, ScaleEach32>;
using Q5_1 = Quantised<TENURE_Q5_1, NibblesAndFifthBits, ScaleAndMinimum>;
using Q4_K = Quantised<TENURE_Q4_K, Nibbles, SmallScaleAndMinimum>;
using Q5_K = Quantised<TENURE_Q5_K, NibblesAndFifthBits, SmallScaleAndMinimum>;
using Q6_K = Quantised<TENURE_Q6_K, NibblesAndPairs, SmallScaleEach16>;

}  // namespace
}  // namespace tenure::cpu
