// The one oneTBB arena that is lent to backends. A forward of a small model has ~150 parallel regions of 10-50 us; waking
// a sleeping worker costs 15-28 us each time, so between hot_begin and hot_end workers spin for the next region.
#pragma once

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>
#include <tenure/host.h>

#include <atomic>
#include <cstdint>
#include <memory>

#include "plugin/host_services.h"

namespace tenure {

class HotArena {
 public:
  explicit HotArena(uint32_t n_threads);
  HotArena(const HotArena&) = delete;
  HotArena& operator=(const HotArena&) = delete;
  ~HotArena();

  // For plugins; `this` must outlive them.
  Executor executor();
  uint32_t n_threads() const { return n_threads_; }

  // One thread at a time: the engine's.
  void parallel_for(uint32_t n_tasks, tenure_task task, void* ctx);
  void hot_begin();
  void hot_end();

 private:
  void wake();
  void work(uint32_t worker);
  void run_tasks(uint32_t worker);

  // A region is one word, so that claiming a task and knowing its region is one atomic step:
  // bits 40..63 region number, 20..39 tasks in it, 0..19 next free task.
  static constexpr uint64_t task_bits = 20;
  static constexpr uint64_t task_mask = (uint64_t{1} << task_bits) - 1;

  struct Region {
    tenure_task task = nullptr;
    void* ctx = nullptr;
  };

  const uint32_t n_threads_;
  // The flow graph's two workers come on top: spinning workers here must not starve it.
  tbb::global_control parallelism_;
  tbb::task_arena arena_;
  Region regions_[2];  // by region number's parity: a straggler may still read the one before
  uint64_t region_number_ = 0;
  alignas(64) std::atomic<uint64_t> ticket_{0};
  alignas(64) std::atomic<uint32_t> n_done_{0};
  alignas(64) std::atomic<bool> hot_{false};
  std::atomic<bool> quit_{false};
  std::unique_ptr<std::atomic<bool>[]> present_;  // (n_threads) worker w is in work(), or on its way to it
};

}  // namespace tenure
