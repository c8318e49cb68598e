// The heap of this process, so that what a plugin takes of it can be told.
#pragma once

#include <malloc.h>

#include <cstdint>

namespace tenure {

// Bytes in use, over all of glibc's arenas. Costs microseconds.
inline int64_t heap_in_use() {
  const struct mallinfo2 info = mallinfo2();
  return static_cast<int64_t>(info.uordblks + info.hblkhd);
}

}  // namespace tenure
