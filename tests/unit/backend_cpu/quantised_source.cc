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
  static constexpr const char* names[] = {"f32", "f16", "bf16", "q8_0", "q4_0", "q4_1"};
  return names[dtype];
}

}  // namespace tenure::cpu::test
