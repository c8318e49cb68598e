#include "source_block.h"

#include <cstring>

namespace tenure::cpu {
namespace {

using Inputs32 = LaneBlock::Inputs32;

constexpr uint32_t kLowNibbles = 0x0f0f0f0f;
constexpr uint32_t kLowPairs = 0x03030303;
constexpr uint32_t kLowBits = 0x01010101;

uint32_t word_at(const uint8_t* p) {
  uint32_t word;
  std::memcpy(&word, p, 4);
  return word;
}

void read_q8_0(const uint8_t* values, Inputs32& out) {
  for (uint32_t i = 0; i < 8; ++i) out.words[i] = word_at(values + 4 * i) ^ 0x80808080u;
}

// Byte i of the file's 16 holds input i in its low nibble, i + 16 in its high nibble: as packed.
void read_nibbles(const uint8_t* values, uint32_t* words) {
  std::memcpy(words, values, 16);
}

// Bit k of the file's 32 is input k's fifth bit.
void read_fifth_bits(const uint8_t* bits, Inputs32& out) {
  uint32_t& fifths = out.words[upper_line(TENURE_Q5_0, 0)];
  fifths = 0;
  for (uint32_t i = 0; i < 8; ++i) {
    const uint32_t four = word_at(bits) >> 4 * i & 15;
    fifths |= (four * 0x00204081 & kLowBits) << i;  // one bit a byte
  }
}

// Input k's nibble of a block of a K-quant is in byte k of 32, low or high for all.
uint32_t nibbles_at(const uint8_t* values, uint32_t word, bool high) {
  return word_at(values + 4 * word) >> (high ? 4 : 0) & kLowNibbles;
}

// 8 scales and 8 minima of 6 bits: the first four of each are the low 6 bits of a byte, whose upper 2 bits
// top the last four's nibbles.
void read_scales_k(const uint8_t* packed, LaneBlock& out) {
  for (uint32_t i = 0; i < 4; ++i) {
    const uint8_t scale = packed[i], minimum = packed[4 + i], nibbles = packed[8 + i];
    out.inputs[i].scales[0] = scale & 63;
    out.inputs[i].scales[1] = minimum & 63;
    out.inputs[4 + i].scales[0] = static_cast<uint8_t>((nibbles & 15) | scale >> 6 << 4);
    out.inputs[4 + i].scales[1] = static_cast<uint8_t>(nibbles >> 4 | minimum >> 6 << 4);
  }
}

void read_q4_k_or_q5_k(const uint8_t* source, uint32_t dtype, LaneBlock& out) {
  const bool fifth_bits = dtype == TENURE_Q5_K;
  out.head[1] ^= 0x8000;  // the file's minimum is taken off
  read_scales_k(source + 4, out);
  const uint8_t* bits = source + 16;
  const uint8_t* values = fifth_bits ? bits + 32 : bits;
  for (uint32_t b = 0; b < 8; ++b) {
    Inputs32& inputs = out.inputs[b];
    const uint8_t* from = values + b / 2 * 32;  // two blocks share 32 bytes
    for (uint32_t i = 0; i < 4; ++i) {
      inputs.words[nibble_line(dtype, i)] = nibbles_at(from, i, b % 2) | nibbles_at(from, i + 4, b % 2) << 4;
    }
    if (!fifth_bits) continue;
    uint32_t& fifths = inputs.words[upper_line(TENURE_Q5_K, 0)];
    fifths = 0;
    for (uint32_t i = 0; i < 8; ++i) fifths |= (word_at(bits + 4 * i) >> b & kLowBits) << i;
  }
}

// Each half of 128 inputs has 64 bytes of nibbles and 32 of bit pairs; its block b takes the low (b < 2) or
// high nibbles of every other 32 bytes, and pair b of each byte.
void read_q6_k(const uint8_t* source, LaneBlock& out) {
  std::memcpy(out.head, source + 208, 2);
  for (uint32_t b = 0; b < 8; ++b) {
    Inputs32& inputs = out.inputs[b];
    std::memcpy(inputs.scales, source + 192 + 2 * b, 2);
    const uint8_t* values = source + b / 4 * 64 + b % 2 * 32;
    const uint8_t* pairs = source + 128 + b / 4 * 32;
    const bool high = b % 4 >= 2;
    for (uint32_t i = 0; i < 4; ++i) {
      inputs.words[nibble_line(TENURE_Q6_K, i)] =
          nibbles_at(values, 2 * i, high) | nibbles_at(values, 2 * i + 1, high) << 4;
    }
    for (uint32_t half = 0; half < 2; ++half) {
      uint32_t& upper = inputs.words[upper_line(TENURE_Q6_K, half)];
      upper = 0;
      for (uint32_t i = 0; i < 4; ++i) {
        const uint32_t four = word_at(pairs + 16 * half + 4 * i) >> 2 * (b % 4) & kLowPairs;
        upper |= four << 2 * i;
      }
    }
  }
}

uint32_t byte_of(uint32_t word, uint32_t i) {
  return word >> 8 * i & 255;
}

// Input k's unsigned value.
uint32_t code(uint32_t dtype, const Inputs32& inputs, uint32_t k) {
  const uint32_t word = k / 4;
  if (dtype == TENURE_Q8_0) return byte_of(inputs.words[word], k % 4);
  const bool in_turn = dtype == TENURE_Q6_K;
  const uint32_t nibbles = byte_of(inputs.words[nibble_line(dtype, in_turn ? word / 2 : word % 4)], k % 4);
  const uint32_t low = (in_turn ? word % 2 : word / 4) ? nibbles >> 4 : nibbles & 15;
  switch (dtype) {
    case TENURE_Q5_0:
    case TENURE_Q5_1:
    case TENURE_Q5_K:
      return low | (byte_of(inputs.words[upper_line(dtype, 0)], k % 4) >> word & 1) << 4;
    case TENURE_Q6_K:
      return low | (byte_of(inputs.words[upper_line(dtype, word / 4)], k % 4) >> 2 * (word % 4) & 3) << 4;
    default:
      return low;
  }
}

}  // namespace

void read_block(uint32_t dtype, const uint8_t* source, LaneBlock& out) {
  std::memcpy(out.head, source, 4);
  Inputs32& first = out.inputs[0];
  switch (dtype) {
    case TENURE_Q8_0:
      return read_q8_0(source + 2, first);
    case TENURE_Q4_0:
      return read_nibbles(source + 2, first.words);
    case TENURE_Q4_1:
      return read_nibbles(source + 4, first.words);
    case TENURE_Q5_0:
      read_fifth_bits(source + 2, first);
      return read_nibbles(source + 6, first.words + nibble_line(TENURE_Q5_0, 0));
    case TENURE_Q5_1:
      read_fifth_bits(source + 4, first);
      return read_nibbles(source + 8, first.words + nibble_line(TENURE_Q5_1, 0));
    case TENURE_Q6_K:
      return read_q6_k(source, out);
    default:
      return read_q4_k_or_q5_k(source, dtype, out);
  }
}

// Scales times values are exact in f32 but for q6_k's last bit; so a value has one rounding.
void block_values(uint32_t dtype, const LaneBlock& block, float* out) {
  const BlockFormat format = block_format(dtype);
  const float d = f16_to_f32(block.head[0]);
  const float m = format.head_bytes == 64 ? f16_to_f32(block.head[1]) : 0.0f;
  for (uint32_t b = 0; b < format.blocks(); ++b, out += kBlock) {
    const Inputs32& inputs = block.inputs[b];
    float scale[2] = {d, d};
    float minimum = m;
    if (dtype == TENURE_Q6_K) {
      for (uint32_t half = 0; half < 2; ++half) scale[half] *= static_cast<int8_t>(inputs.scales[half]);
    } else if (format.scale_bytes != 0) {
      scale[0] = scale[1] = d * inputs.scales[0];
      minimum = m * inputs.scales[1];
    }
    for (uint32_t k = 0; k < kBlock; ++k) {
      const int value = static_cast<int>(code(dtype, inputs, k)) - static_cast<int>(format.zero);
      out[k] = scale[k / 16] * static_cast<float>(value) + minimum;
    }
  }
}

}  // namespace tenure::cpu
