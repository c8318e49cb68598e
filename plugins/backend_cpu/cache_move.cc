#include "cache_move.h"

#include <cstring>

#include "cached_slot.h"
#include "page_layout.h"

namespace tenure::cpu {
namespace {

constexpr uint32_t kCopiesPerTask = 16;
// Fewer are done before the workers, asleep between forwards, have woken: a move takes 0.05 us, waking them 20.
constexpr uint64_t kParallelMoves = 512;

uint8_t* page_address(const tenure_kv_pool& pool, uint32_t page) {
  return static_cast<uint8_t*>(pool.base) + uint64_t{page} * pool.page_bytes;
}

void run_moves(const tenure_kv_moves& list) {
  const PageLayout layout = page_layout(*list.pool, list.head_dim);
  const auto slot = [&](uint32_t i) -> SlotAt {
    return {.page = page_address(*list.pool, list.pages[i / kPageSlots]), .lane = i % kPageSlots};
  };
  for (uint32_t i = 0; i < list.n_moves; ++i) copy_slot(layout, slot(list.moves[i].src), slot(list.moves[i].dst));
}

void read_slots(const AttendKernels& kernels, const tenure_kv_read& read) {
  const PageLayout layout = page_layout(*read.pool, read.head_dim);
  for (uint32_t i = 0; i < read.n_slots; ++i) {
    const SlotAt slot{.page = page_address(*read.pool, read.pages[i / kPageSlots]), .lane = i % kPageSlots};
    const uint64_t row = uint64_t{i} * read.head_dim;
    if (read.k) read_key(kernels, layout, slot, read.k + row);
    if (read.v) read_value(kernels, layout, slot, read.v + row);
  }
}

}  // namespace

void cache_move(const Exec& exec, uint32_t n, const tenure_kv_moves* moves) {
  uint64_t n_moves = 0;
  for (uint32_t i = 0; i < n; ++i) n_moves += moves[i].n_moves;
  if (n_moves < kParallelMoves) {
    for (uint32_t i = 0; i < n; ++i) run_moves(moves[i]);
    return;
  }
  exec.for_each(n, [&](uint32_t task, uint32_t) { run_moves(moves[task]); });
}

void cache_read(const AttendKernels& kernels, const Exec& exec, uint32_t n, const tenure_kv_read* reads) {
  exec.for_each(n, [&](uint32_t task, uint32_t) { read_slots(kernels, reads[task]); });
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
