#include "tokenizer/byte_alphabet.h"

#include "tokenizer/utf8.h"

namespace tenure {
namespace {

bool spells_itself(uint32_t c) {
  return (c >= 0x21 && c <= 0x7E) || (c >= 0xA1 && c <= 0xFF && c != 0xAD);
}

// The other bytes follow each other from U+0100 on.
constexpr uint32_t n_shifted = 68;

std::array<uint8_t, n_shifted> shifted_bytes() {
  std::array<uint8_t, n_shifted> bytes{};
  size_t n = 0;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    if (!spells_itself(byte)) bytes[n++] = static_cast<uint8_t>(byte);
  }
  return bytes;
}

}  // namespace

std::string spell_byte(uint8_t byte) {
  char32_t c = byte;
  if (!spells_itself(byte)) {
    c = 0x100;
    for (uint8_t shifted : shifted_bytes()) {
      if (shifted == byte) break;
      ++c;
    }
  }
  std::string spelling;
  append_utf8(spelling, c);
  return spelling;
}

std::optional<std::string> spelled_bytes(std::string_view spelling) {
  static const std::array<uint8_t, n_shifted> shifted = shifted_bytes();
  std::string bytes;
  while (!spelling.empty()) {
    const Utf8Sequence c = read_utf8(spelling);
    if (c.status != Utf8Status::valid) return std::nullopt;
    if (spells_itself(c.value)) {
      bytes += static_cast<char>(c.value);
    } else if (c.value >= 0x100 && c.value < 0x100 + n_shifted) {
      bytes += static_cast<char>(shifted[c.value - 0x100]);
    } else {
      return std::nullopt;
    }
    spelling.remove_prefix(c.n_bytes);
  }
  return bytes;
}

}  // namespace tenure
