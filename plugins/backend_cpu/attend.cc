#include "attend.h"

#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <thread>

#include "amx.h"
#include "attend_work.h"
#include "cached_slot.h"
#include "code_path.h"
#include "page_layout.h"

namespace tenure::cpu {
namespace {

constexpr size_t kPageBytes = 4096;
constexpr double kLog2E = 1.4426950408889634;

class Attention {
 public:
  Attention(const AttendKernels& kernels, const AttendCall& call, const WorkSize& size, std::byte* base)
      : kernels_(kernels),
        call_(call),
        size_(size),
        group_size_(call.n_heads / call.n_kv_heads),
        scale_(static_cast<float>(kLog2E * call.scale)) {
    workers_ = base + lay_out(size, base, &memory_);
    WorkerScratch measured;
    worker_bytes_ = lay_out_worker(size, nullptr, &measured);
  }

  void run(const Exec& exec, uint32_t tokens) {
    n_items_ = list_work(call_, tokens, memory_);
    const auto claim_items = [this](uint32_t, uint32_t worker) {
      WorkerScratch scratch;
      lay_out_worker(size_, workers_ + worker * worker_bytes_, &scratch);
      for (uint32_t i = next_item_.fetch_add(1); i < n_items_; i = next_item_.fetch_add(1)) {
        const Item& item = memory_.items[i];
        if (item.n_tokens == 0) {
          decode(item, scratch);
        } else {
          prefill(item, scratch);
        }
      }
    };
    exec.for_each(std::min(n_items_, static_cast<uint32_t>(size_.n_workers)), claim_items);
  }

 private:
  const tenure_segment& segment(const Item& item) const { return call_.segments[item.segment]; }
  const tenure_kv_view& head(const Item& item) const { return segment(item).heads[item.head]; }
  uint64_t row_floats() const { return uint64_t{call_.n_heads} * call_.head_dim; }
  uint64_t head_offset(const Item& item) const { return uint64_t{item.head} * group_size_ * call_.head_dim; }
  uint32_t first_mass_token(const Item& item) const {
    const tenure_segment& s = segment(item);
    return s.n_mass_rows >= s.n_rows ? 0 : s.n_rows - s.n_mass_rows;
  }

  // The head's slots from `first` on.
  CacheView view(const Item& item, uint32_t first, uint32_t n_slots) const {
    const tenure_kv_view& h = head(item);
    const tenure_kv_pool& pool = *segment(item).pool;
    const uint32_t n_unmasked = call_.window == 0 ? h.n_unmasked : 0;
    return {.base = static_cast<const uint8_t*>(pool.base),
            .pages = h.pages + first / kPageSlots,
            .pos = h.pos + first,
            .page_bytes = pool.page_bytes,
            .v_offset = page_layout(pool, call_.head_dim).v_offset(),
            .head_dim = call_.head_dim,
            .n_slots = n_slots,
            .n_unmasked = std::min(n_unmasked > first ? n_unmasked - first : 0, n_slots)};
  }

  // Calls body(shift, first, end) for the runs that meet [first, end).
  template <class Body>
  void for_runs(const tenure_kv_view& h, uint32_t first, uint32_t end, Body&& body) const {
    if (h.n_runs == 0 || !h.runs) return body(0, first, end);
    uint32_t begin = 0;
    for (uint32_t i = 0; i < h.n_runs; ++i) {
      const uint32_t stop = i + 1 == h.n_runs ? h.n_slots : begin + h.runs[i].n_slots;
      if (std::max(begin, first) < std::min(stop, end))
        body(h.runs[i].shift, std::max(begin, first), std::min(stop, end));
      begin = stop;
    }
  }

  // q of the group's heads for consecutive tokens as keys of this type meet it, turned back by shift.
  void turned_queries(const float* q, uint32_t n_tokens, int32_t shift, uint32_t k_type, float* out) const {
    const uint32_t floats = group_size_ * call_.head_dim;
    alignas(64) float buffer[RopeTable::kBufferFloats];
    Rotation rotation{};
    if (shift != 0) rotation = call_.rope->at(-shift, buffer);
    for (uint32_t t = 0; t < n_tokens; ++t, q += row_floats(), out += floats) {
      if (shift == 0) {
        std::memcpy(out, q, floats * sizeof(float));
      } else {
        kernels_.rotate(rotation, q, group_size_, call_.head_dim, out);
      }
      if (is_spread(k_type)) kernels_.spread(out, floats, 1.0f / kGroup, out);
    }
  }

  // ---- decode ----
  float* partial(const DecodeUnit& unit, uint32_t row, uint32_t split) const {
    return memory_.partials + unit.partial +
           (uint64_t{row} * unit.n_splits + split) * partial_floats(group_size_, call_.head_dim);
  }
  float* kept_weights(const DecodeUnit& unit, uint32_t row, uint32_t split) const {
    return memory_.weights + unit.weights +
           (uint64_t{row} * unit.n_splits + split) * group_size_ * kSplitSlots;
  }

  void decode(const Item& item, const WorkerScratch& scratch) {
    DecodeUnit& unit = memory_.units[item.unit];
    const tenure_segment& s = segment(item);
    const tenure_kv_view& h = head(item);
    const uint32_t first = item.first * kSplitSlots;
    const uint32_t end = std::min(first + kSplitSlots, h.n_slots);
    for (uint32_t r = 0; r < s.n_rows; ++r) {
      if (is_hidden(h, first, end, seen(s.first_pos + static_cast<int32_t>(r)))) {
        leave_out(partial(unit, r, item.first));
        continue;
      }
      float* result = partial(unit, r, item.first);
      const DecodeSplit split{.cache = view(item, first, end - first),
                              .seen = seen(s.first_pos + static_cast<int32_t>(r)),
                              .k_type = key_rows(s.pool->k_type),
                              .v_type = s.pool->v_type,
                              .group_size = group_size_,
                              .max = result,
                              .sum = result + group_size_,
                              .value = value_of(result),
                              .weights = item.turn != kNoTurn ? kept_weights(unit, r, item.first) : nullptr};
      const float* q = call_.q + (s.first_row + r) * row_floats() + head_offset(item);
      for_runs(h, first, end, [&](int32_t shift, uint32_t from, uint32_t to) {
        turned_queries(q, 1, shift, s.pool->k_type, scratch.query);
        for (uint32_t i = 0; i < group_size_ * call_.head_dim; ++i) scratch.query[i] *= scale_;
        kernels_.decode(split, {from - first, to - first}, scratch.query);
      });
    }
    if (unit.n_left.fetch_sub(1, std::memory_order_acq_rel) == 1) finish(item, unit);
  }

  // Whole splits go past a window; merging skips them, so their keys and values need not be read. (Layers with a window
  // have no mass, whose kept weights would have to be zero.)
  bool is_hidden(const tenure_kv_view& h, uint32_t first, uint32_t end, PosRange range) const {
    if (call_.window == 0 || h.mass) return false;
    return std::all_of(h.pos + first, h.pos + end, [&](int32_t p) { return p < range.oldest || p > range.newest; });
  }
  void leave_out(float* result) const {
    for (uint32_t g = 0; g < group_size_; ++g) {
      result[g] = -INFINITY;  // max
      result[group_size_ + g] = 0;  // sum
    }
  }

  float* value_of(float* result) const {
    return result + partial_floats(group_size_, call_.head_dim) - uint64_t{group_size_} * call_.head_dim;
  }
  PosRange seen(int32_t pos) const {
    return {call_.window == 0 ? INT32_MIN : pos - static_cast<int32_t>(call_.window) + 1, pos};
  }

  // The last split to finish joins them, in ascending order.
  void finish(const Item& item, const DecodeUnit& unit) {
    const tenure_segment& s = segment(item);
    if (unit.turn != kNoTurn) await(item);
    const auto stride = static_cast<uint32_t>(partial_floats(group_size_, call_.head_dim));
    for (uint32_t r = 0; r < s.n_rows; ++r) {
      float* out = call_.out + (s.first_row + r) * row_floats() + head_offset(item);
      for (uint32_t g = 0; g < group_size_; ++g) {
        float* first = partial(unit, r, 0);
        float max = 0;
        float inverse = 0;
        kernels_.decode_merge({.max = first + g,
                               .sum = first + group_size_ + g,
                               .value = value_of(first) + g * call_.head_dim,
                               .small_stride = stride,
                               .value_stride = stride,
                               .n_splits = unit.n_splits,
                               .head_dim = call_.head_dim},
                              out + g * call_.head_dim, &max, &inverse);
        if (unit.turn != kNoTurn && r >= first_mass_token(item)) add_mass(item, unit, {r, g}, max, inverse);
      }
    }
    if (unit.turn != kNoTurn) pass_turn(item);
  }

  struct QueryHead {
    uint32_t row;
    uint32_t head;
  };
  void add_mass(const Item& item, const DecodeUnit& unit, QueryHead at, float max, float inverse) {
    const tenure_kv_view& h = head(item);
    const float share = inverse / static_cast<float>(group_size_);
    for (uint32_t i = 0; i < unit.n_splits; ++i) {
      const float split_max = partial(unit, at.row, i)[at.head];
      if (std::isinf(split_max) && split_max < 0) continue;
      const uint32_t first = i * kSplitSlots;
      kernels_.add_scaled(kept_weights(unit, at.row, i) + at.head * kSplitSlots,
                          kernels_.exp2(split_max - max) * share, std::min(kSplitSlots, h.n_slots - first),
                          h.mass + first);
    }
  }

  // ---- prefill and rebuild ----
  void prefill(const Item& item, const WorkerScratch& scratch) {
    const tenure_segment& s = segment(item);
    const tenure_kv_view& h = head(item);
    const bool exact = s.pool->k_type == TENURE_F32 || s.pool->v_type == TENURE_F32;
    const PrefillKernel& kernel = exact ? kernels_.prefill_exact : kernels_.prefill_fast;
    const bool mass = item.turn != kNoTurn;
    const uint64_t first_row = uint64_t{s.first_row} + item.first;
    PrefillTask task = scratch.buffers;
    task.cache = view(item, 0, h.n_slots);
    task.runs = scratch.runs;
    task.n_runs = pack_queries(item, kernel, call_.q + first_row * row_floats() + head_offset(item), scratch);
    task.n_rows = item.n_tokens * group_size_;
    task.group_size = group_size_;
    task.first_pos = s.first_pos + static_cast<int32_t>(item.first);
    task.window = call_.window;
    task.k_type = key_rows(s.pool->k_type);
    task.v_type = s.pool->v_type;
    task.out = call_.out + first_row * row_floats() + head_offset(item);
    task.out_stride = row_floats();
    if (mass) {
      const uint32_t first = first_mass_token(item);
      task.first_mass_row = (first > item.first ? first - item.first : 0) * group_size_;
      task.slot_stride = (h.n_slots + kBlockSlots - 1) / kBlockSlots * kBlockSlots;
    } else {
      task.mass = nullptr;
    }
    kernel.run(task);
    if (!mass) return;
    await(item);
    const uint32_t n_groups = (item.n_tokens + kMassTokens - 1) / kMassTokens;
    for (uint32_t g = task.first_mass_row / group_size_ / kMassTokens; g < n_groups; ++g)
      kernels_.add_scaled(task.mass + uint64_t{g} * task.slot_stride, 1.0f, h.n_slots, h.mass);
    pass_turn(item);
  }

  uint32_t pack_queries(const Item& item, const PrefillKernel& kernel, const float* q,
                        const WorkerScratch& scratch) {
    const uint32_t n_rows = item.n_tokens * group_size_;
    const uint32_t row_elements = (call_.head_dim + kernel.depth - 1) / kernel.depth * kernel.depth;
    std::byte* packed = scratch.packed;
    uint32_t n = 0;
    for_runs(head(item), 0, head(item).n_slots, [&](int32_t shift, uint32_t, uint32_t end) {
      turned_queries(q, item.n_tokens, shift, segment(item).pool->k_type, scratch.query);
      kernel.pack_queries(scratch.query, n_rows, call_.head_dim, scale_, packed);
      scratch.runs[n++] = {packed, end};
      packed += uint64_t{n_rows} * row_elements * kernel.element_bytes;
    });
    return n;
  }

  // ---- the order of additions to a mass array ----
  std::atomic<uint32_t>& order_of(const Item& item) const {
    return memory_.orders[memory_.orders[item.segment * call_.n_kv_heads + item.head].origin].now;
  }
  void await(const Item& item) const {
    for (uint32_t spins = 0; order_of(item).load(std::memory_order_acquire) != item.turn; ++spins)
      if (spins > 64) std::this_thread::yield();
  }
  void pass_turn(const Item& item) const { order_of(item).store(item.turn + 1, std::memory_order_release); }

  const AttendKernels& kernels_;
  const AttendCall& call_;
  const WorkSize& size_;
  const uint32_t group_size_;
  const float scale_;
  WorkMemory memory_{};
  std::byte* workers_ = nullptr;
  size_t worker_bytes_ = 0;
  uint32_t n_items_ = 0;
  std::atomic<uint32_t> next_item_{0};
};

// A head without slots makes no work item, yet its rows have an output.
void clear_without_slots(const AttendCall& call) {
  const uint64_t width = uint64_t{call.n_heads / call.n_kv_heads} * call.head_dim;
  for (uint32_t s = 0; s < call.n_segments; ++s) {
    const tenure_segment& segment = call.segments[s];
    for (uint32_t h = 0; h < call.n_kv_heads; ++h) {
      if (segment.heads[h].n_slots > 0) continue;
      for (uint32_t r = segment.first_row; r < segment.first_row + segment.n_rows; ++r)
        std::fill_n(call.out + (uint64_t{r} * call.n_kv_heads + h) * width, width, 0.0f);
    }
  }
}

size_t bytes_of(const WorkSize& size) {
  WorkMemory memory;
  WorkerScratch worker;
  return lay_out(size, nullptr, &memory) + size.n_workers * lay_out_worker(size, nullptr, &worker);
}

}  // namespace

AttendScratch::~AttendScratch() {
  if (base_) munmap(base_, bytes_);
}

std::byte* AttendScratch::reserve(size_t bytes) {
  if (bytes <= bytes_) return base_;
  if (base_) munmap(base_, bytes_);
  base_ = nullptr;
  bytes_ = 0;
  const size_t rounded = (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
  void* p =
      mmap(nullptr, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return nullptr;
  base_ = static_cast<std::byte*>(p);
  bytes_ = rounded;
  return base_;
}

tenure_status attend_reserve(const AttendKernels&, const Exec& exec, const AttendLimits& limits,
                             AttendScratch& scratch) {
  return scratch.reserve(bytes_of(worst_case(limits, exec.n_workers()))) ? TENURE_OK : TENURE_OOM_HOST;
}

tenure_status attend(const AttendKernels& kernels, const Exec& exec, const AttendCall& call,
                     AttendScratch& scratch) {
  const uint32_t n_workers = exec.n_workers();
  const uint32_t tokens = block_tokens(call, call.n_heads / call.n_kv_heads, n_workers);
  const WorkSize size = measure(call, n_workers, tokens);
  std::byte* base = scratch.reserve(bytes_of(size));
  if (!base) return TENURE_OOM_HOST;
  clear_without_slots(call);
  Attention(kernels, call, size, base).run(exec, tokens);
  return TENURE_OK;
}

const AttendKernels* choose_attend_kernels(const char* forced) {
  __builtin_cpu_init();
  const bool avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  struct Candidate {
    const AttendKernels* kernels;
    const char* family;
    bool usable;
  };
  const bool bf16 = avx512 && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni");
  const Candidate best_first[] = {
      {&kAttendAmx, "amx", is_wanted(forced, "amx") && bf16 && amx_permitted()},
      {&kAttendAvx512Bf16, "avx512", bf16},
      {&kAttendAvx512, "avx512", avx512},
      {&kAttendAvx2, "avx2", avx2},
      {&kAttendScalar, "scalar", true}};
  for (const Candidate& candidate : best_first) {
    if (candidate.usable && is_wanted(forced, candidate.family)) return candidate.kernels;
  }
  return nullptr;
}

}  // namespace tenure::cpu
