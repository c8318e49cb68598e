#include "engine/hot_arena.h"

#include <sched.h>

#include <chrono>

namespace tenure {
namespace {

using Clock = std::chrono::steady_clock;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// A region is due within microseconds while a forward runs, so a worker first spins without giving its core away; on a
// busy machine that core may be what the region is waiting for, so then it yields.
constexpr uint32_t spins_before_yield = 2000;  // ~40 us
// After hot_end a worker stays this long: the next decode step usually follows within it.
constexpr auto linger = std::chrono::microseconds(300);

}  // namespace

HotArena::HotArena(uint32_t n_threads)
    : n_threads_(n_threads),
      parallelism_(tbb::global_control::max_allowed_parallelism, n_threads + 3),
      arena_(static_cast<int>(n_threads), 1, tbb::task_arena::priority::high),
      present_(std::make_unique<std::atomic<bool>[]>(n_threads)) {
  arena_.initialize();
}

HotArena::~HotArena() {
  quit_.store(true, std::memory_order_release);
  for (uint32_t worker = 1; worker < n_threads_; ++worker) {
    while (present_[worker].load(std::memory_order_acquire)) sched_yield();
  }
}

Executor HotArena::executor() {
  return {.ctx = this,
          .n_workers = [](void* self) { return static_cast<HotArena*>(self)->n_threads_; },
          .parallel_for = [](void* self, uint32_t n_tasks, tenure_task task,
                             void* ctx) { static_cast<HotArena*>(self)->parallel_for(n_tasks, task, ctx); },
          .hot_begin = [](void* self) { static_cast<HotArena*>(self)->hot_begin(); },
          .hot_end = [](void* self) { static_cast<HotArena*>(self)->hot_end(); }};
}

void HotArena::wake() {
  for (uint32_t worker = 1; worker < n_threads_; ++worker) {
    if (present_[worker].load(std::memory_order_relaxed)) continue;
    present_[worker].store(true, std::memory_order_relaxed);
    arena_.enqueue([this, worker] { work(worker); });
  }
}

void HotArena::hot_begin() {
  hot_.store(true, std::memory_order_release);
  wake();
}

void HotArena::hot_end() { hot_.store(false, std::memory_order_release); }

void HotArena::run_tasks(uint32_t worker) {
  while (true) {
    const uint64_t seen = ticket_.load(std::memory_order_acquire);
    if ((seen & task_mask) >= (seen >> task_bits & task_mask)) return;
    const uint64_t ticket = ticket_.fetch_add(1, std::memory_order_acq_rel);
    const uint64_t task = ticket & task_mask;
    if (task >= (ticket >> task_bits & task_mask)) return;
    const Region& region = regions_[ticket >> (2 * task_bits) & 1];
    region.task(region.ctx, static_cast<uint32_t>(task), worker);
    n_done_.fetch_add(1, std::memory_order_release);
  }
}

void HotArena::work(uint32_t worker) {
  uint32_t n_idle = 0;
  Clock::time_point cold_since{};
  while (!quit_.load(std::memory_order_relaxed)) {
    const uint64_t seen = ticket_.load(std::memory_order_acquire);
    if ((seen & task_mask) < (seen >> task_bits & task_mask)) {
      run_tasks(worker);
      n_idle = 0;
      cold_since = {};
      continue;
    }
    if (++n_idle < spins_before_yield) {
      pause();
      continue;
    }
    sched_yield();
    if (hot_.load(std::memory_order_acquire)) {
      cold_since = {};
      continue;
    }
    const Clock::time_point now = Clock::now();
    if (cold_since == Clock::time_point{}) cold_since = now;
    if (now - cold_since > linger) break;
  }
  present_[worker].store(false, std::memory_order_release);
}

void HotArena::parallel_for(uint32_t n_tasks, tenure_task task, void* ctx) {
  if (n_tasks <= 1 || n_threads_ == 1) {
    for (uint32_t i = 0; i < n_tasks; ++i) task(ctx, i, 0);
    return;
  }
  ++region_number_;
  regions_[region_number_ & 1] = {.task = task, .ctx = ctx};
  n_done_.store(0, std::memory_order_relaxed);
  ticket_.store((region_number_ << (2 * task_bits)) | (uint64_t{n_tasks} << task_bits), std::memory_order_release);
  wake();
  run_tasks(0);
  uint32_t n_idle = 0;
  while (n_done_.load(std::memory_order_acquire) != n_tasks) {
    if (++n_idle < spins_before_yield) {
      pause();
    } else {
      sched_yield();
    }
  }
}

}  // namespace tenure
