// Which code path TENURE_CPU asks for.
#pragma once

#include <cstring>

namespace tenure::cpu {

// Whether the tables of `family` ("scalar", "avx2", …) may be taken: nothing is forced (NULL or empty), or just that.
inline bool is_wanted(const char* forced, const char* family) {
  return forced == nullptr || *forced == '\0' || std::strcmp(forced, family) == 0;
}

}  // namespace tenure::cpu
