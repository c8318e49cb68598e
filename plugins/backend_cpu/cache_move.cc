#include "cache_move.h"

#include <algorithm>
#include <cstring>

#include "cached_slot.h"
#include "page_layout.h"

namespace tenure::cpu {
namespace {

constexpr uint32_t kCopiesPerTask = 16;
constexpr uint32_t kListsPerTask = 16;

uint8_t* page_address(const tenure_kv_pool& pool, uint32_t page) {
  return static_cast<uint8_t*>(pool.base) + uint64_t{page} * pool.page_bytes;
}

SlotAt slot_at(const tenure_kv_moves& list, uint32_t slot) {
  return {.page = page_address(*list.pool, list.pages[slot / kPageSlots]), .lane = slot % kPageSlots};
}

void run_moves(const tenure_kv_moves& list) {
  const PageLayout layout = page_layout(*list.pool, list.head_dim);
  for (uint32_t i = 0; i < list.n_moves; ++i)
    copy_slot(layout, slot_at(list, list.moves[i].src), slot_at(list, list.moves[i].dst));
}

// A decode step moves one slot of each head, from pages that its weights have pushed out of the caches: the lines
// of the next head are on their way while one is copied (0.7 times the time, Zen 4).
void prefetch_first_move(const tenure_kv_moves& list) {
  if (list.n_moves == 0) return;
  const PageLayout layout = page_layout(*list.pool, list.head_dim);
  prefetch_slot(layout, slot_at(list, list.moves[0].src));
  prefetch_slot(layout, slot_at(list, list.moves[0].dst));
}

// The slots of one page, from `first` on.
void read_page(const AttendKernels& kernels, const tenure_kv_read& read, uint32_t first) {
  const PageLayout layout = page_layout(*read.pool, read.head_dim);
  const uint32_t n = std::min(kPageSlots, read.n_slots - first);
  uint8_t* page = page_address(*read.pool, read.pages[first / kPageSlots]);
  const auto whole_keys = kernels.read_keys[layout.k_type];
  if (read.k && whole_keys) whole_keys(page, read.head_dim, n, read.k + uint64_t{first} * read.head_dim);
  for (uint32_t lane = 0; lane < n; ++lane) {
    const uint64_t row = uint64_t{first + lane} * read.head_dim;
    if (read.k && !whole_keys) read_key(kernels, layout, {page, lane}, read.k + row);
    if (read.v) read_value(kernels, layout, {page, lane}, read.v + row);
  }
}

}  // namespace

void cache_move(const Exec& exec, uint32_t n, const tenure_kv_moves* moves) {
  exec.for_each((n + kListsPerTask - 1) / kListsPerTask, [&](uint32_t task, uint32_t) {
    const uint32_t end = std::min(n, (task + 1) * kListsPerTask);
    for (uint32_t i = task * kListsPerTask; i < end; ++i) {
      if (i + 1 < end) prefetch_first_move(moves[i + 1]);
      run_moves(moves[i]);
    }
  });
}

void cache_read(const AttendKernels& kernels, const Exec& exec, uint32_t n, const tenure_kv_read* reads) {
  exec.for_each(n, [&](uint32_t task, uint32_t) {
    for (uint32_t first = 0; first < reads[task].n_slots; first += kPageSlots)
      read_page(kernels, reads[task], first);
  });
}

void cache_copy(const Exec& exec, uint32_t n, const tenure_page_copy* copies) {
  exec.for_each((n + kCopiesPerTask - 1) / kCopiesPerTask, [&](uint32_t task, uint32_t) {
    for (uint32_t i = task * kCopiesPerTask; i < n && i < (task + 1) * kCopiesPerTask; ++i) {
      const tenure_page_copy& copy = copies[i];
      std::memcpy(page_address(*copy.pool, copy.dst), page_address(*copy.pool, copy.src),
                  copy.pool->page_bytes);
    }
  });
}

void cache_rotate(const AttendKernels& kernels, const RopeTable& table, const tenure_kv_rotation& rotation,
                  uint32_t head_dim) {
  const PageLayout layout = page_layout(*rotation.pool, head_dim);
  alignas(64) float key[kMaxHeadDim];
  alignas(64) float buffer[RopeTable::kBufferFloats];
  for (uint32_t i = 0; i < rotation.n_slots; ++i) {
    if (rotation.delta[i] == 0) continue;
    const SlotAt at{.page = page_address(*rotation.pool, rotation.pages[i / kPageSlots]),
                    .lane = i % kPageSlots};
    read_key(kernels, layout, at, key);
    kernels.rotate(table.at(rotation.delta[i], buffer), key, 1, head_dim, key);
    write_key(kernels, layout, at, key);
  }
}

}  // namespace tenure::cpu
