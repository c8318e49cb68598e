#include "tokenizer/utf8.h"

namespace tenure {
namespace {

struct Lead {
  uint32_t n_bytes = 0;  // of the whole sequence; 0 = cannot start one
  uint8_t low = 0x80;    // range of the second byte, narrower where
  uint8_t high = 0xBF;   // overlong forms, surrogates and > U+10FFFF begin
};

Lead classify(uint8_t byte) {
  if (byte < 0x80) return {.n_bytes = 1};
  if (byte < 0xC2) return {};
  if (byte < 0xE0) return {.n_bytes = 2};
  if (byte == 0xE0) return {.n_bytes = 3, .low = 0xA0};
  if (byte == 0xED) return {.n_bytes = 3, .high = 0x9F};
  if (byte < 0xF0) return {.n_bytes = 3};
  if (byte == 0xF0) return {.n_bytes = 4, .low = 0x90};
  if (byte < 0xF4) return {.n_bytes = 4};
  if (byte == 0xF4) return {.n_bytes = 4, .high = 0x8F};
  return {};
}

}  // namespace

Utf8Sequence read_utf8(std::string_view bytes) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  const Lead lead = classify(at(0));
  if (lead.n_bytes == 1) return {at(0), 1, Utf8Status::valid};
  if (lead.n_bytes == 0) return {};
  char32_t value = at(0) & (0x7Fu >> lead.n_bytes);
  for (uint32_t i = 1; i < lead.n_bytes; ++i) {
    if (i == bytes.size()) return {0xFFFD, i, Utf8Status::incomplete};
    const uint8_t low = i == 1 ? lead.low : 0x80;
    const uint8_t high = i == 1 ? lead.high : 0xBF;
    if (at(i) < low || at(i) > high) return {0xFFFD, i, Utf8Status::invalid};
    value = (value << 6) | (at(i) & 0x3Fu);
  }
  return {value, lead.n_bytes, Utf8Status::valid};
}

void append_utf8(std::string& text, char32_t code_point) {
  const auto tail = [&](int shift) { text += static_cast<char>(0x80 | ((code_point >> shift) & 0x3F)); };
  if (code_point < 0x80) {
    text += static_cast<char>(code_point);
  } else if (code_point < 0x800) {
    text += static_cast<char>(0xC0 | (code_point >> 6));
    tail(0);
  } else if (code_point < 0x10000) {
    text += static_cast<char>(0xE0 | (code_point >> 12));
    tail(6);
    tail(0);
  } else {
    text += static_cast<char>(0xF0 | (code_point >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

bool is_python_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

}  // namespace tenure
