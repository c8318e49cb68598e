// Reading and repairing UTF-8. An ill-formed sequence counts as one U+FFFD per maximal subpart (Unicode 15,
// section 3.9), as Python's errors="replace" and the WHATWG decoder do.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tenure {

constexpr std::string_view replacement_character = "\xEF\xBF\xBD";  // U+FFFD

enum class Utf8Status : uint8_t {
  valid,
  invalid,     // the first n_bytes are a maximal subpart: replace them
  incomplete,  // what is there could go on; more bytes are needed
};

struct Utf8Sequence {
  char32_t value = 0xFFFD;
  uint32_t n_bytes = 1;
  Utf8Status status = Utf8Status::invalid;
};

// The sequence at the start of `bytes`, which must not be empty.
Utf8Sequence read_utf8(std::string_view bytes);

void append_utf8(std::string& text, char32_t code_point);

// What Python's str.strip() removes: Unicode's White_Space and U+001C..U+001F.
bool is_python_space(char32_t code_point);

}  // namespace tenure
