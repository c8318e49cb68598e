// How attend cuts a call into items and what memory the items share. A decode segment is cut by (KV head,
// split of slots), every other segment by (KV head, block of tokens).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "attend.h"

namespace tenure::cpu {

// Additions to one mass array happen in the order of the batch's rows, whoever computed them first. Items are
// claimed in order and each is running once claimed, so waiting for an earlier one ends.
struct MassOrder {
  std::atomic<uint32_t> now;
  uint32_t next;    // turns handed out
  uint32_t origin;  // segments of one sequence add to the same array: the entry that keeps the order
};

// One KV head of a decode segment.
struct DecodeUnit {
  std::atomic<uint32_t> n_left;  // splits not finished
  uint32_t n_splits;
  uint32_t turn;
  uint64_t partial;  // floats into the partial results
  uint64_t weights;  // floats into the kept weights, when mass is asked for
};

struct Item {
  uint32_t segment;
  uint32_t head;
  uint32_t first;     // decode: split; else first token
  uint32_t n_tokens;  // 0: decode
  uint32_t turn;
  uint32_t unit;
};

// Counts of one call, or the most that calls within limits reach.
struct WorkSize {
  uint64_t n_orders = 0;
  uint64_t n_units = 0;
  uint64_t n_items = 0;
  uint64_t partial_floats = 0;
  uint64_t weight_floats = 0;
  // of the largest prefill item
  uint64_t n_rows = 0;
  uint64_t n_runs = 0;
  uint64_t slot_stride = 0;  // with mass, else 0
  uint64_t n_workers = 0;
  uint64_t head_dim = 0;
  uint64_t group_size = 0;
};

constexpr uint32_t kNoTurn = UINT32_MAX;
constexpr uint32_t kMaxBlockTokens = 192;

// Tokens of a prefill item: as many as share unpacked keys well, fewer where that leaves workers idle.
uint32_t block_tokens(const AttendCall&, uint32_t group_size, uint32_t n_workers);

// Floats of one row's partial results of one split: max, sum, value of every head of the group.
constexpr uint64_t partial_floats(uint32_t group_size, uint32_t head_dim) {
  return (uint64_t{group_size} * 2 + 15) / 16 * 16 + uint64_t{group_size} * head_dim;
}

struct WorkerScratch {
  float* query;       // (max(n_rows, group_size), head_dim)
  std::byte* packed;  // (n_runs, n_rows, head_dim) elements
  PrefillQueries* runs;
  PrefillTask buffers;  // its scratch pointers
};

struct WorkMemory {
  MassOrder* orders;
  DecodeUnit* units;
  Item* items;
  float* partials;
  float* weights;
};

// Places everything; returns the bytes needed. base may be nullptr to measure.
size_t lay_out(const WorkSize&, std::byte* base, WorkMemory*);
// One worker's part; workers lie behind each other after the shared part.
size_t lay_out_worker(const WorkSize&, std::byte* base, WorkerScratch*);

WorkSize measure(const AttendCall&, uint32_t n_workers, uint32_t tokens);
WorkSize worst_case(const AttendLimits&, uint32_t n_workers);
// Fills orders, units and items; returns the number of items.
uint32_t list_work(const AttendCall&, uint32_t tokens, const WorkMemory&);

}  // namespace tenure::cpu
