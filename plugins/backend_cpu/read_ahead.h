// How far ahead kernels fetch what they read from front to back, into L2: a core has twice as many misses of
// L2 under way as of L1. By the CPU's maker, for that is how hardware prefetchers differ.
#pragma once

#include <cstdint>

namespace tenure::cpu {

struct ReadAhead {
  int32_t even_lines;  // bytes
  int32_t odd_lines;   // below 0: lines that are in L1 still, which fetches nothing
  uint32_t pages;      // of a KV cache
};

extern const ReadAhead kReadAhead;  // this CPU's; not for static initialisers

}  // namespace tenure::cpu
