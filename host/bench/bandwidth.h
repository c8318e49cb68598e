// The read bandwidth of memory right now: the limit that decoding is held against.
#pragma once

#include <cstdint>

namespace tenure {

// GB/s; 0 when there was no memory for a buffer beyond the caches.
struct Bandwidth {
  double one_thread = 0;
  double all_threads = 0;  // together
};

// Takes about half a second; the buffer is freed before it returns.
Bandwidth read_bandwidth(uint32_t n_threads);

}  // namespace tenure
