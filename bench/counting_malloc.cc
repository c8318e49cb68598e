// The program's own malloc family, which glibc lets any program bring along: it counts, then hands on to
// glibc's.
#include "counting_malloc.h"

#include <atomic>
#include <cerrno>
#include <cstddef>

extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
}

namespace {
std::atomic<uint64_t> n_allocations{0};
void count() {
  n_allocations.fetch_add(1, std::memory_order_relaxed);
}
}  // namespace

namespace tenure {
uint64_t allocations() {
  return n_allocations.load(std::memory_order_relaxed);
}
}  // namespace tenure

#define TENURE_REPLACES extern "C" __attribute__((visibility("default")))

TENURE_REPLACES void* malloc(size_t bytes) noexcept {
  count();
  return __libc_malloc(bytes);
}

TENURE_REPLACES void* calloc(size_t n, size_t bytes) noexcept {
  count();
  return __libc_calloc(n, bytes);
}

TENURE_REPLACES void* realloc(void* old, size_t bytes) noexcept {
  count();
  return __libc_realloc(old, bytes);
}

TENURE_REPLACES void* aligned_alloc(size_t alignment, size_t bytes) noexcept {
  count();
  return __libc_memalign(alignment, bytes);
}

TENURE_REPLACES int posix_memalign(void** out, size_t alignment, size_t bytes) noexcept {
  count();
  *out = __libc_memalign(alignment, bytes);
  return *out == nullptr ? ENOMEM : 0;
}
