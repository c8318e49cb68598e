#include "quantised_source.h"

#include <bit>
#include <cmath>
#include <cstring>

namespace tenure::cpu::test {
namespace {

void append(std::vector<uint8_t>& bytes, const void* p, size_t n) {
  const uint8_t* from = static_cast<const uint8_t*>(p);
  bytes.insert(bytes.end(), from, from + n);
}

// A random normal f16 and its value by the definition: (-1)^s * 2^(e - 15) * (1 + m / 1024).
double append_f16(std::vector<uint8_t>& bytes, std::mt19937& random) {
  const uint16_t exponent = static_cast<uint16_t>(8 + random() % 6);
  const uint16_t mantissa = static_cast<uint16_t>(random() % 1024);
  const uint16_t sign = static_cast<uint16_t>(random() % 2);
  const uint16_t half = static_cast<uint16_t>(sign << 15 | exponent << 10 | mantissa);
  append(bytes, &half, 2);
  return (sign ? -1 : 1) * std::ldexp(1 + mantissa / 1024.0, exponent - 15);
}

void append_q8(Source& source, std::mt19937& random) {
  const double d = append_f16(source.bytes, random);
  for (uint32_t k = 0; k < kBlock; ++k) {
    const int8_t q = static_cast<int8_t>(static_cast<int>(random() % 256) - 128);
    append(source.bytes, &q, 1);
    source.values.push_back(d * q);
  }
}

// Nibbles: byte i holds element i in its low half and element i + 16 in its high half.
void append_q4(Source& source, std::mt19937& random) {
  const double d = append_f16(source.bytes, random);
  const double m = source.dtype == TENURE_Q4_1 ? append_f16(source.bytes, random) : -8 * d;
  const size_t at = source.values.size();
  source.values.resize(at + kBlock);
  for (uint32_t i = 0; i < kBlock / 2; ++i) {
    const uint8_t pair = static_cast<uint8_t>(random() % 256);
    append(source.bytes, &pair, 1);
    source.values[at + i] = d * (pair % 16) + m;
    source.values[at + i + 16] = d * (pair / 16) + m;
  }
}

// As q4, with bit k of 32 the fifth bit of element k.
void append_q5(Source& source, std::mt19937& random) {
  const double d = append_f16(source.bytes, random);
  const double m = source.dtype == TENURE_Q5_1 ? append_f16(source.bytes, random) : -16 * d;
  uint32_t fifth_bits = 0;
  uint8_t nibbles[16] = {};
  for (uint32_t k = 0; k < kBlock; ++k) {
    const uint32_t q = random() % 32;
    fifth_bits |= q / 16 << k;
    nibbles[k % 16] = static_cast<uint8_t>(nibbles[k % 16] + q % 16 * (k < 16 ? 1 : 16));
    source.values.push_back(d * q + m);
  }
  append(source.bytes, &fifth_bits, 4);
  append(source.bytes, nibbles, 16);
}

// Scales and minima of 6 bits: 0 to 3 in the low bits of bytes 0 to 3 and 4 to 7, the others' low nibbles in
// bytes 8 to 11 and their top 2 bits above those of 0 to 3.
void append_scales_k(std::vector<uint8_t>& bytes, const uint32_t (&scales)[8], const uint32_t (&minima)[8]) {
  uint32_t packed[12];
  for (uint32_t i = 0; i < 4; ++i) {
    packed[i] = scales[i] + (scales[i + 4] / 16) * 64;
    packed[i + 4] = minima[i] + (minima[i + 4] / 16) * 64;
    packed[i + 8] = scales[i + 4] % 16 + minima[i + 4] % 16 * 16;
  }
  for (uint32_t value : packed) bytes.push_back(static_cast<uint8_t>(value));
}

// Blocks 2 i and 2 i + 1 of 32 share 32 bytes of nibbles; byte k's bit b is the fifth bit of element k of
// block b.
void append_q4_k_or_q5_k(Source& source, std::mt19937& random) {
  const double d = append_f16(source.bytes, random);
  const double m = append_f16(source.bytes, random);
  uint32_t scales[8], minima[8];
  for (uint32_t& scale : scales) scale = random() % 64;
  for (uint32_t& minimum : minima) minimum = random() % 64;
  append_scales_k(source.bytes, scales, minima);
  uint8_t fifth_bits[32] = {};
  uint8_t nibbles[128] = {};
  for (uint32_t i = 0; i < 256; ++i) {
    const uint32_t b = i / 32, k = i % 32;
    const uint32_t q = random() % (source.dtype == TENURE_Q5_K ? 32 : 16);
    fifth_bits[k] = static_cast<uint8_t>(fifth_bits[k] + (q / 16 << b));
    uint8_t& pair = nibbles[b / 2 * 32 + k];
    pair = static_cast<uint8_t>(pair + q % 16 * (b % 2 ? 16 : 1));
    source.values.push_back(d * scales[b] * q - m * minima[b]);
  }
  if (source.dtype == TENURE_Q5_K) append(source.bytes, fifth_bits, 32);
  append(source.bytes, nibbles, 128);
}

// Two halves of 128: element 32 j + l of a half has its low nibble in byte l + 32 (j % 2) of the half's 64,
// low for j < 2, and its top 2 bits at 2 j of byte l of the half's 32.
void append_q6_k(Source& source, std::mt19937& random) {
  uint8_t nibbles[128] = {};
  uint8_t pairs[64] = {};
  int8_t scales[16];
  std::vector<uint8_t> half;
  const double d = append_f16(half, random);
  for (int8_t& scale : scales) scale = static_cast<int8_t>(static_cast<int>(random() % 256) - 128);
  for (uint32_t i = 0; i < 256; ++i) {
    const uint32_t h = i / 128, j = i % 128 / 32, l = i % 32;
    const uint32_t q = random() % 64;
    uint8_t& nibble = nibbles[64 * h + 32 * (j % 2) + l];
    nibble = static_cast<uint8_t>(nibble + q % 16 * (j < 2 ? 1 : 16));
    pairs[32 * h + l] = static_cast<uint8_t>(pairs[32 * h + l] + (q / 16 << 2 * j));
    source.values.push_back(d * scales[i / 16] * (static_cast<int>(q) - 32));
  }
  append(source.bytes, nibbles, 128);
  append(source.bytes, pairs, 64);
  append(source.bytes, scales, 16);
  append(source.bytes, half.data(), 2);
}

void append_plain(Source& source, std::mt19937& random) {
  if (source.dtype == TENURE_F16) {
    source.values.push_back(append_f16(source.bytes, random));
    return;
  }
  float value = std::normal_distribution<float>(0, 0.1f)(random);
  if (source.dtype == TENURE_BF16) {
    const uint16_t top = static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16);
    value = std::bit_cast<float>(uint32_t{top} << 16);
    append(source.bytes, &top, 2);
  } else {
    append(source.bytes, &value, 4);
  }
  source.values.push_back(value);
}

}  // namespace

Source make_source(uint32_t dtype, uint32_t n_out, uint32_t n_in, std::mt19937& random) {
  Source source{.dtype = dtype, .n_out = n_out, .n_in = n_in};
  while (source.values.size() < uint64_t{n_out} * n_in) {
    switch (dtype) {
      case TENURE_Q8_0:
        append_q8(source, random);
        break;
      case TENURE_Q4_0:
      case TENURE_Q4_1:
        append_q4(source, random);
        break;
      case TENURE_Q5_0:
      case TENURE_Q5_1:
        append_q5(source, random);
        break;
      case TENURE_Q4_K:
      case TENURE_Q5_K:
        append_q4_k_or_q5_k(source, random);
        break;
      case TENURE_Q6_K:
        append_q6_k(source, random);
        break;
      default:
        append_plain(source, random);
    }
  }
  return source;
}

Packed::Packed(const Source& source) {
  matrix_ = {.dtype = source.dtype, .n_out = source.n_out, .n_in = source.n_in};
  // Filled with a pattern: a lane that packing forgets shows.
  storage_.assign(matrix_.bytes() + 64, 0xa5);
  matrix_.data = storage_.data() + (64 - reinterpret_cast<uintptr_t>(storage_.data()) % 64) % 64;
  for (uint32_t panel = 0; panel * kPanelGroups < matrix_.n_groups(); ++panel) {
    pack_panel(matrix_, source.bytes.data(), panel);
  }
}

const char* dtype_name(uint32_t dtype) {
  static constexpr const char* names[] = {"f32", "f16",  "bf16", "q8_0", "q4_0", "q4_1", "i32",
                                          "u8",  "q5_0", "q5_1", "q4_k", "q5_k", "q6_k"};
  return names[dtype];
}

}  // namespace tenure::cpu::test
