#include "cache_move.h"

#include <cstring>

#include "page_layout.h"

namespace tenure::cpu {
namespace {

constexpr uint32_t kCopiesPerTask = 16;
// Fewer are done before the workers, asleep between forwards, have woken: a move takes 0.05 us, waking them 20.
constexpr uint64_t kParallelMoves = 512;

uint8_t* page_address(const tenure_kv_pool& pool, uint32_t page) {
  return static_cast<uint8_t*>(pool.base) + uint64_t{page} * pool.page_bytes;
}

template <class Element>
void move_key(const uint8_t* src, uint32_t src_lane, uint8_t* dst, uint32_t dst_lane, uint32_t head_dim) {
  const Element* from = reinterpret_cast<const Element*>(src) + src_lane;
  Element* to = reinterpret_cast<Element*>(dst) + dst_lane;
  for (uint32_t d = 0; d < head_dim; ++d) to[d * kPageSlots] = from[d * kPageSlots];
}

void run_moves(const tenure_kv_moves& list) {
  const tenure_kv_pool& pool = *list.pool;
  const PageLayout layout = page_layout(pool, list.head_dim);
  const uint32_t v_bytes = list.head_dim * cache_element_bytes(pool.v_type);
  for (uint32_t i = 0; i < list.n_moves; ++i) {
    const tenure_kv_move move = list.moves[i];
    const uint8_t* src = page_address(pool, list.pages[move.src / kPageSlots]);
    uint8_t* dst = page_address(pool, list.pages[move.dst / kPageSlots]);
    const uint32_t src_lane = move.src % kPageSlots;
    const uint32_t dst_lane = move.dst % kPageSlots;
    if (cache_element_bytes(pool.k_type) == 4) {
      move_key<uint32_t>(src, src_lane, dst, dst_lane, list.head_dim);
    } else {
      move_key<uint16_t>(src, src_lane, dst, dst_lane, list.head_dim);
    }
    std::memcpy(dst + layout.v_offset() + dst_lane * v_bytes, src + layout.v_offset() + src_lane * v_bytes,
                v_bytes);
  }
}

void read_slots(const AttendKernels& kernels, const tenure_kv_read& read) {
  const tenure_kv_pool& pool = *read.pool;
  const PageLayout layout = page_layout(pool, read.head_dim);
  const uint32_t page_floats = kPageSlots * read.head_dim;
  alignas(64) float page[kPageSlots * kMaxHeadDim];
  for (uint32_t first = 0; first < read.n_slots; first += kPageSlots) {
    const uint8_t* from = page_address(pool, read.pages[first / kPageSlots]);
    const uint32_t n = read.n_slots - first < kPageSlots ? read.n_slots - first : kPageSlots;
    const uint64_t at = uint64_t{first} * read.head_dim;
    if (read.k) {
      kernels.widen[pool.k_type](from, page_floats, page);
      for (uint32_t lane = 0; lane < n; ++lane) {
        for (uint32_t d = 0; d < read.head_dim; ++d)
          read.k[at + lane * read.head_dim + d] = page[d * kPageSlots + lane];
      }
    }
    if (read.v) {
      kernels.widen[pool.v_type](from + layout.v_offset(), page_floats, page);
      std::memcpy(read.v + at, page, n * read.head_dim * sizeof(float));
    }
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
  const tenure_kv_pool& pool = *rotation.pool;
  const uint32_t bytes = cache_element_bytes(pool.k_type);
  alignas(64) float page_keys[kPageSlots * kMaxHeadDim];
  alignas(64) float key[kMaxHeadDim];
  alignas(64) float buffer[RopeTable::kBufferFloats];
  for (uint32_t first = 0; first < rotation.n_slots; first += kPageSlots) {
    uint8_t* page = page_address(pool, rotation.pages[first / kPageSlots]);
    kernels.widen[pool.k_type](page, kPageSlots * head_dim, page_keys);
    const uint32_t end = rotation.n_slots - first < kPageSlots ? rotation.n_slots - first : kPageSlots;
    for (uint32_t lane = 0; lane < end; ++lane) {
      const int32_t delta = rotation.delta[first + lane];
      if (delta == 0) continue;
      for (uint32_t d = 0; d < head_dim; ++d) key[d] = page_keys[d * kPageSlots + lane];
      kernels.rotate(table.at(delta, buffer), key, 1, head_dim, key);
      alignas(64) unsigned char narrow[kMaxHeadDim * sizeof(float)];
      kernels.narrow[pool.k_type](key, head_dim, narrow);
      for (uint32_t d = 0; d < head_dim; ++d)
        std::memcpy(page + (d * kPageSlots + lane) * bytes, narrow + d * bytes, bytes);
    }
  }
}

}  // namespace tenure::cpu
