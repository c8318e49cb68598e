// An axis' value as rows and gates compare it: numbers and booleans as such, everything else as text.
#pragma once

#include <cstdlib>
#include <string>

#include "record/row.h"

namespace tenure {

inline AxisValue axis_value(const std::string& text) {
  if (text == "true" || text == "false") return text == "true";
  if (text.empty()) return text;
  char* end = nullptr;
  const long long integer = std::strtoll(text.c_str(), &end, 10);
  if (*end == '\0') return int64_t{integer};
  const double real = std::strtod(text.c_str(), &end);
  if (*end == '\0') return real;
  return text;
}

}  // namespace tenure
