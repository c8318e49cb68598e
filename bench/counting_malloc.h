// Counts every allocation of the process, plugins and libraries included.
#pragma once

#include <cstdint>

namespace tenure {

// Calls of malloc, calloc, realloc, aligned_alloc and posix_memalign since the start. Any thread.
uint64_t allocations();

}  // namespace tenure
