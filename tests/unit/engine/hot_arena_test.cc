// Every task of every region runs exactly once, whoever comes late.
#include "engine/hot_arena.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace tenure::test {
namespace {

struct Region {
  std::vector<std::atomic<uint32_t>> n_runs;
  std::atomic<uint32_t> worst_worker{0};
  uint32_t n_workers = 0;
  uint64_t plain = 0;  // written by the caller before the region, read by its tasks: a region must order them
  std::atomic<uint32_t> n_stale{0};
  explicit Region(uint32_t n_tasks) : n_runs(n_tasks) {}
};

struct Call {
  Region* region;
  uint64_t expected;
};

void count(void* ctx, uint32_t task, uint32_t worker) {
  const Call& call = *static_cast<Call*>(ctx);
  call.region->n_runs[task].fetch_add(1, std::memory_order_relaxed);
  if (worker >= call.region->n_workers) call.region->worst_worker = worker;
  if (call.region->plain != call.expected) ++call.region->n_stale;
}

void run_regions(HotArena& arena, uint32_t n_regions, uint32_t n_tasks) {
  Region region(n_tasks);
  region.n_workers = arena.n_threads();
  for (uint32_t i = 1; i <= n_regions; ++i) {
    region.plain = i;
    Call call{&region, i};
    arena.parallel_for(n_tasks, count, &call);
    uint32_t wrong = 0;
    for (const auto& n : region.n_runs) wrong += n.load(std::memory_order_relaxed) != i ? 1 : 0;
    REQUIRE(wrong == 0);
  }
  CHECK(region.worst_worker == 0);
  CHECK(region.n_stale == 0);
}

}  // namespace

TEST_CASE("hot arena - each task of many regions once, for 1 to 4 threads") {
  for (uint32_t n_threads = 1; n_threads <= 4; ++n_threads) {
    CAPTURE(n_threads);
    HotArena arena(n_threads);
    for (uint32_t n_tasks : {0u, 1u, 2u, 3u, 7u, 64u}) {
      CAPTURE(n_tasks);
      arena.hot_begin();
      run_regions(arena, 300, n_tasks);
      arena.hot_end();
      run_regions(arena, 20, n_tasks);  // cold regions work as well
    }
  }
}

TEST_CASE("hot arena - workers that went to sleep come back") {
  HotArena arena(3);
  for (int i = 0; i < 15; ++i) {
    arena.hot_begin();
    run_regions(arena, 10, 16);
    arena.hot_end();
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // longer than workers linger
  }
}

TEST_CASE("hot arena - a slow task does not let the region end") {
  HotArena arena(2);
  struct Slow {
    std::atomic<uint32_t> n_done{0};
  } slow;
  arena.hot_begin();
  for (int i = 0; i < 10; ++i) {
    slow.n_done = 0;
    arena.parallel_for(
        8,
        [](void* ctx, uint32_t task, uint32_t) {
          if (task % 3 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
          ++static_cast<Slow*>(ctx)->n_done;
        },
        &slow);
    REQUIRE(slow.n_done == 8);
  }
  arena.hot_end();
}

TEST_CASE("hot arena - plugins reach it through the executor") {
  HotArena arena(2);
  const Executor executor = arena.executor();
  CHECK(executor.n_workers(executor.ctx) == 2);
  std::atomic<uint32_t> sum{0};
  executor.hot_begin(executor.ctx);
  executor.parallel_for(
      executor.ctx, 10,
      [](void* ctx, uint32_t task, uint32_t) { *static_cast<std::atomic<uint32_t>*>(ctx) += task; }, &sum);
  executor.hot_end(executor.ctx);
  CHECK(sum == 45);
}

TEST_CASE("hot arena - it can go while its workers are still hot") {
  for (int i = 0; i < 20; ++i) {
    HotArena arena(3);
    arena.hot_begin();
    run_regions(arena, 2, 5);
  }
}

}  // namespace tenure::test
