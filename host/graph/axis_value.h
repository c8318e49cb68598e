// An axis' value as rows and gates compare it: numbers and booleans as such, everything else as text.
#pragma once

#include <charconv>
#include <string>

#include "record/row.h"

namespace tenure {

inline AxisValue axis_value(const std::string& text) {
  if (text == "true" || text == "false") return text == "true";
  const char* end = text.data() + text.size();
  int64_t integer = 0;
  if (const auto read = std::from_chars(text.data(), end, integer); read.ec == std::errc() && read.ptr == end) return integer;
  double real = 0;
  const auto read = std::from_chars(text.data(), end, real);
  const bool finite = text.find_first_of("nN") == std::string::npos;  // JSON has no inf and nan
  return read.ec == std::errc() && read.ptr == end && finite ? AxisValue(real) : AxisValue(text);
}

}  // namespace tenure
