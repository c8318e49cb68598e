#include "attend_work.h"

#include <algorithm>

#include "page_layout.h"

namespace tenure::cpu {
namespace {

class Carver {
 public:
  explicit Carver(std::byte* base) : base_(base) {}
  template <class T>
  T* take(uint64_t n) {
    T* at = base_ ? reinterpret_cast<T*>(base_ + used_) : nullptr;
    used_ += (n * sizeof(T) + 63) / 64 * 64;
    return at;
  }
  size_t used() const { return used_; }

 private:
  std::byte* base_;
  size_t used_ = 0;
};

uint64_t round_up(uint64_t n, uint64_t unit) {
  return (n + unit - 1) / unit * unit;
}
uint32_t n_splits(const tenure_kv_view& head) {
  return (head.n_slots + kSplitSlots - 1) / kSplitSlots;
}

// The first token whose row adds to the head's mass; n_rows when none does.
uint32_t first_mass_token(const tenure_segment& segment, const tenure_kv_view& head) {
  if (!head.mass) return segment.n_rows;
  return segment.n_mass_rows >= segment.n_rows ? 0 : segment.n_rows - segment.n_mass_rows;
}

uint32_t largest_block(uint32_t group_size) {
  return std::clamp(192 / group_size / kMassTokens * kMassTokens, kMassTokens, kMaxBlockTokens);
}

}  // namespace

uint32_t block_tokens(const AttendCall& call, uint32_t group_size, uint32_t n_workers) {
  uint32_t tokens = largest_block(group_size);
  const auto n_items = [&] {
    uint64_t n = 0;
    for (uint32_t s = 0; s < call.n_segments; ++s) {
      const tenure_segment& segment = call.segments[s];
      if (segment.kind != TENURE_ROWS_DECODE)
        n += uint64_t{call.n_kv_heads} * ((segment.n_rows + tokens - 1) / tokens);
    }
    return n;
  };
  while (tokens >= 2 * kMassTokens && n_items() < 4 * n_workers)
    tokens = tokens / 2 / kMassTokens * kMassTokens;
  return tokens;
}

WorkSize measure(const AttendCall& call, uint32_t n_workers, uint32_t tokens) {
  const uint32_t group_size = call.n_heads / call.n_kv_heads;
  WorkSize size{.n_orders = uint64_t{call.n_segments} * call.n_kv_heads,
                .n_runs = 1,
                .n_workers = n_workers,
                .head_dim = call.head_dim,
                .group_size = group_size};
  for (uint32_t s = 0; s < call.n_segments; ++s) {
    const tenure_segment& segment = call.segments[s];
    for (uint32_t h = 0; h < call.n_kv_heads; ++h) {
      const tenure_kv_view& head = segment.heads[h];
      const bool mass = first_mass_token(segment, head) < segment.n_rows;
      if (segment.kind == TENURE_ROWS_DECODE) {
        const uint64_t rows_of_splits = uint64_t{segment.n_rows} * n_splits(head);
        ++size.n_units;
        size.n_items += n_splits(head);
        size.partial_floats += rows_of_splits * partial_floats(group_size, call.head_dim);
        if (mass) size.weight_floats += rows_of_splits * group_size * kSplitSlots;
        continue;
      }
      size.n_items += (segment.n_rows + tokens - 1) / tokens;
      size.n_rows = std::max(size.n_rows, uint64_t{group_size} * std::min(tokens, segment.n_rows));
      size.n_runs = std::max(size.n_runs, uint64_t{head.n_runs});
      if (mass) size.slot_stride = std::max(size.slot_stride, round_up(head.n_slots, kBlockSlots));
    }
  }
  return size;
}

WorkSize worst_case(const AttendLimits& limits, uint32_t n_workers) {
  const uint32_t group_size = limits.n_heads / limits.n_kv_heads;
  const uint64_t n_heads_of_batch = uint64_t{limits.n_segments} * limits.n_kv_heads;
  const uint64_t splits = round_up(limits.n_slots, kSplitSlots) / kSplitSlots;
  return {.n_orders = n_heads_of_batch,
          .n_units = n_heads_of_batch,
          .n_items = n_heads_of_batch * splits +
                     limits.n_kv_heads * (uint64_t{limits.n_rows} / kMassTokens + limits.n_segments),
          .partial_floats = n_heads_of_batch * splits * partial_floats(group_size, limits.head_dim),
          .weight_floats = n_heads_of_batch * splits * group_size * kSplitSlots,
          .n_rows = uint64_t{group_size} * std::min(largest_block(group_size), limits.n_rows),
          .n_runs = std::max(limits.n_runs, 1u),
          .slot_stride = round_up(limits.n_slots, kBlockSlots),
          .n_workers = n_workers,
          .head_dim = limits.head_dim,
          .group_size = group_size};
}

size_t lay_out(const WorkSize& size, std::byte* base, WorkMemory* memory) {
  Carver carver(base);
  *memory = {.orders = carver.take<MassOrder>(size.n_orders),
             .units = carver.take<DecodeUnit>(size.n_units),
             .items = carver.take<Item>(size.n_items),
             .partials = carver.take<float>(size.partial_floats),
             .weights = carver.take<float>(size.weight_floats)};
  return carver.used();
}

size_t lay_out_worker(const WorkSize& size, std::byte* base, WorkerScratch* worker) {
  Carver carver(base);
  const uint64_t rows = round_up(std::max(size.n_rows, size.group_size), kMaxTileRows);
  const uint64_t kept_rows = size.slot_stride != 0 ? rows : 0;
  PrefillTask& task = worker->buffers;
  task = {};
  worker->query = carver.take<float>(rows * size.head_dim);
  worker->packed = carver.take<std::byte>(size.n_runs * rows * size.head_dim * sizeof(float));
  worker->runs = carver.take<PrefillQueries>(size.n_runs);
  task.keys = carver.take<float>(kBlockSlots * size.head_dim);
  task.values = carver.take<float>(kBlockSlots * size.head_dim);
  task.sums = carver.take<float>(rows * size.head_dim);
  task.max = carver.take<float>(rows);
  task.total = carver.take<float>(rows);
  task.scores = carver.take<float>(kMaxTileRows * kScoreStride);
  task.weights =
      carver.take<float>(std::max<uint64_t>(kMaxTileRows * kScoreStride, kept_rows * size.slot_stride));
  task.block_max = carver.take<float>(kept_rows * size.slot_stride / kBlockSlots);
  task.mass = carver.take<float>(round_up(kept_rows, kMassTokens * size.group_size) /
                                 (kMassTokens * size.group_size) * size.slot_stride);
  return carver.used();
}

uint32_t list_work(const AttendCall& call, uint32_t tokens, const WorkMemory& memory) {
  const uint32_t group_size = call.n_heads / call.n_kv_heads;
  uint32_t n_items = 0;
  uint32_t n_units = 0;
  uint64_t partial = 0;
  uint64_t weights = 0;
  for (uint32_t s = 0; s < call.n_segments; ++s) {
    const tenure_segment& segment = call.segments[s];
    for (uint32_t h = 0; h < call.n_kv_heads; ++h) {
      const uint32_t at = s * call.n_kv_heads + h;
      const bool joins =
          s > 0 && segment.heads[h].mass && segment.heads[h].mass == call.segments[s - 1].heads[h].mass;
      const uint32_t origin = joins ? memory.orders[at - call.n_kv_heads].origin : at;
      new (&memory.orders[at]) MassOrder{.now = 0, .next = 0, .origin = origin};
    }
    if (segment.kind == TENURE_ROWS_DECODE) {
      for (uint32_t h = 0; h < call.n_kv_heads; ++h) {
        const tenure_kv_view& head = segment.heads[h];
        const bool mass = first_mass_token(segment, head) < segment.n_rows;
        const uint32_t turn =
            mass ? memory.orders[memory.orders[s * call.n_kv_heads + h].origin].next++ : kNoTurn;
        const uint32_t splits = n_splits(head);
        new (&memory.units[n_units]) DecodeUnit{
            .n_left = splits, .n_splits = splits, .turn = turn, .partial = partial, .weights = weights};
        partial += uint64_t{segment.n_rows} * splits * partial_floats(group_size, call.head_dim);
        if (mass) weights += uint64_t{segment.n_rows} * splits * group_size * kSplitSlots;
        for (uint32_t i = 0; i < splits; ++i)
          memory.items[n_items++] = {
              .segment = s, .head = h, .first = i, .n_tokens = 0, .turn = turn, .unit = n_units};
        ++n_units;
      }
      continue;
    }
    for (uint32_t t = 0; t < segment.n_rows; t += tokens) {
      for (uint32_t h = 0; h < call.n_kv_heads; ++h) {
        const uint32_t end = std::min(t + tokens, segment.n_rows);
        const bool mass = first_mass_token(segment, segment.heads[h]) < end;
        const uint32_t turn =
            mass ? memory.orders[memory.orders[s * call.n_kv_heads + h].origin].next++ : kNoTurn;
        memory.items[n_items++] = {
            .segment = s, .head = h, .first = t, .n_tokens = end - t, .turn = turn, .unit = 0};
      }
    }
  }
  return n_items;
}

}  // namespace tenure::cpu
