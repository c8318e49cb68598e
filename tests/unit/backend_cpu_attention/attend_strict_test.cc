// What `strict` promises: neighbours, cuts, threads and evidence never change a bit.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "paged_cache.h"

namespace tenure::cpu {
namespace {

constexpr Shape kShape{.n_kv_heads = 2};
constexpr uint32_t kRow = 2 * 3 * 64;

bool same_bits(const float* a, const float* b, size_t n) {
  return std::memcmp(a, b, n * sizeof(float)) == 0;
}
bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && !a.empty() && same_bits(a.data(), b.data(), a.size());
}

std::vector<float> rows_of(const std::vector<float>& q, uint32_t first, uint32_t n) {
  return {q.begin() + first * kRow, q.begin() + (first + n) * kRow};
}

struct Part {
  const PagedCache* cache;
  uint32_t kind;
  int32_t first_pos;
  uint32_t first_row;
  uint32_t n_rows;
  std::vector<float>* mass;  // one per head, or nullptr
};

// One call with several segments.
std::vector<float> run_batch(const std::vector<Part>& parts, const std::vector<float>& q,
                             const AttendKernels& kernels, uint32_t n_workers,
                             uint32_t n_slots = UINT32_MAX) {
  std::vector<std::vector<tenure_kv_view>> heads;
  std::vector<tenure_segment> segments;
  for (const Part& part : parts) {
    heads.emplace_back();
    for (uint32_t h = 0; h < 2; ++h) {
      tenure_kv_view view = part.cache->view(h);
      view.n_slots = std::min(view.n_slots, n_slots);
      if (part.mass) view.mass = part.mass[h].data();
      heads.back().push_back(view);
    }
  }
  for (size_t i = 0; i < parts.size(); ++i)
    segments.push_back({.kind = parts[i].kind,
                        .first_row = parts[i].first_row,
                        .n_rows = parts[i].n_rows,
                        .first_pos = parts[i].first_pos,
                        .n_mass_rows = UINT32_MAX,
                        .pool = &parts[i].cache->pool(),
                        .heads = heads[i].data()});
  std::vector<float> out(q.size());
  const TestExec exec(n_workers);
  AttendScratch scratch;
  const tenure_status status = attend(kernels, exec.exec(),
                                      {.segments = segments.data(),
                                       .n_segments = static_cast<uint32_t>(segments.size()),
                                       .n_heads = 6,
                                       .n_kv_heads = 2,
                                       .head_dim = 64,
                                       .q = q.data(),
                                       .out = out.data()},
                                      scratch);
  REQUIRE(status == TENURE_OK);
  return out;
}

}  // namespace

TEST_CASE("prefill - a row alone has the bits it has among 200") {
  std::vector<int32_t> shuffled = ascending(1300);
  std::mt19937 random(3);
  std::shuffle(shuffled.begin(), shuffled.end(), random);
  const PagedCache cache(kShape, {ascending(1300), shuffled}, 1);
  const std::vector<float> q = random_floats(200 * kRow, 2);
  for (const AttendKernels* kernels : usable_kernels()) {
    CAPTURE(kernels->name);
    const Attended all = run_attend(cache, {.first_pos = 1100, .n_rows = 200}, q, {.kernels = kernels});
    for (uint32_t r : {0u, 1u, 15u, 99u, 198u, 199u}) {
      const Attended one = run_attend(cache, {.first_pos = 1100 + static_cast<int32_t>(r), .n_rows = 1},
                                      rows_of(q, r, 1), {.kernels = kernels});
      CHECK(same_bits(one.out.data(), all.out.data() + r * kRow, kRow));
    }
  }
}

TEST_CASE("prefill - slots appended later do not change a row or its mass") {
  const PagedCache cache(kShape, {ascending(900), ascending(900)}, 1);
  const std::vector<float> q = random_floats(300 * kRow, 2);
  for (const AttendKernels* kernels : usable_kernels()) {
    CAPTURE(kernels->name);
    std::vector<float> mass_at_once[2] = {std::vector<float>(900), std::vector<float>(900)};
    std::vector<float> mass_in_parts[2] = {std::vector<float>(900), std::vector<float>(900)};
    const std::vector<float> at_once =
        run_batch({{&cache, TENURE_ROWS_PREFILL, 600, 0, 300, mass_at_once}}, q, *kernels, 2);
    std::vector<float> in_parts;
    for (uint32_t first = 0, n = 0; first < 300; first += n) {
      n = std::min(first == 0 ? 16u : 112u, 300 - first);
      const auto part =
          run_batch({{&cache, TENURE_ROWS_PREFILL, 600 + static_cast<int32_t>(first), 0, n, mass_in_parts}},
                    rows_of(q, first, n), *kernels, 2, 600 + first + n);
      in_parts.insert(in_parts.end(), part.begin(), part.end());
    }
    CHECK(same_bits(at_once, in_parts));
    for (uint32_t h = 0; h < 2; ++h) CHECK(same_bits(mass_at_once[h], mass_in_parts[h]));
  }
}

TEST_CASE("attend - neighbours and threads do not change a bit") {
  const PagedCache a(kShape, {ascending(700), ascending(300, 400)}, 1);
  const PagedCache b(kShape, {ascending(90), ascending(64, 26)}, 2);
  const std::vector<float> q = random_floats(100 * kRow, 2);
  for (const AttendKernels* kernels : usable_kernels()) {
    CAPTURE(kernels->name);
    std::vector<float> mass_alone[2] = {std::vector<float>(700), std::vector<float>(300)};
    const std::vector<float> alone =
        run_batch({{&a, TENURE_ROWS_PREFILL, 640, 0, 60, mass_alone}}, rows_of(q, 0, 60), *kernels, 1);
    const std::vector<float> decode =
        run_batch({{&a, TENURE_ROWS_DECODE, 699, 0, 1, nullptr}}, rows_of(q, 60, 1), *kernels, 1);
    for (uint32_t n_workers : {1u, 3u}) {
      for (int repeat = 0; repeat < 5; ++repeat) {
        std::vector<float> mass[2] = {std::vector<float>(700), std::vector<float>(300)};
        const std::vector<float> mixed = run_batch({{&b, TENURE_ROWS_PREFILL, 51, 61, 39, nullptr},
                                                    {&a, TENURE_ROWS_PREFILL, 640, 0, 60, mass},
                                                    {&a, TENURE_ROWS_DECODE, 699, 60, 1, nullptr}},
                                                   q, *kernels, n_workers);
        CHECK(same_bits(alone.data(), mixed.data(), 60 * kRow));
        CHECK(same_bits(decode.data(), mixed.data() + 60 * kRow, kRow));
        for (uint32_t h = 0; h < 2; ++h) CHECK(same_bits(mass_alone[h], mass[h]));
      }
    }
  }
}

TEST_CASE("attend - asking for mass does not change the result") {
  const PagedCache cache(kShape, {ascending(1100), ascending(600, 500)}, 1);
  const std::vector<float> q = random_floats(90 * kRow, 2);
  for (const AttendKernels* kernels : usable_kernels()) {
    CAPTURE(kernels->name);
    for (uint32_t kind : {TENURE_ROWS_PREFILL, TENURE_ROWS_DECODE}) {
      const Rows rows{.first_pos = 1010, .n_rows = kind == TENURE_ROWS_DECODE ? 2u : 90u};
      const Attended without = run_attend(cache, rows, q, {.kernels = kernels, .kind = kind});
      const Attended with = run_attend(cache, rows, q, {.kernels = kernels, .kind = kind, .mass = true});
      CHECK(same_bits(without.out, with.out));
    }
  }
}

TEST_CASE("mass - segments of one sequence add in the batch's order") {
  const PagedCache cache(kShape, {ascending(900), ascending(900)}, 1);
  const std::vector<float> q = random_floats(161 * kRow, 2);
  for (const AttendKernels* kernels : usable_kernels()) {
    CAPTURE(kernels->name);
    std::vector<float> apart[2] = {std::vector<float>(900), std::vector<float>(900)};
    run_batch({{&cache, TENURE_ROWS_REBUILD, 100, 0, 64, apart}}, rows_of(q, 0, 64), *kernels, 1);
    run_batch({{&cache, TENURE_ROWS_PREFILL, 800, 0, 96, apart}}, rows_of(q, 64, 96), *kernels, 1);
    run_batch({{&cache, TENURE_ROWS_DECODE, 899, 0, 1, apart}}, rows_of(q, 160, 1), *kernels, 1);
    for (int repeat = 0; repeat < 5; ++repeat) {
      std::vector<float> together[2] = {std::vector<float>(900), std::vector<float>(900)};
      run_batch({{&cache, TENURE_ROWS_REBUILD, 100, 0, 64, together},
                 {&cache, TENURE_ROWS_PREFILL, 800, 64, 96, together},
                 {&cache, TENURE_ROWS_DECODE, 899, 160, 1, together}},
                q, *kernels, 4);
      for (uint32_t h = 0; h < 2; ++h) CHECK(same_bits(apart[h], together[h]));
    }
  }
}

TEST_CASE("scratch - a call inside the limits does not move it") {
  const PagedCache cache(kShape, {ascending(900), ascending(900)}, 1);
  const std::vector<float> q = random_floats(200 * kRow, 2);
  std::vector<float> mass[2] = {std::vector<float>(900), std::vector<float>(900)};
  const TestExec exec(2);
  AttendScratch scratch;
  const AttendLimits limits{.n_rows = 200,
                            .n_segments = 1,
                            .n_slots = 900,
                            .n_heads = 6,
                            .n_kv_heads = 2,
                            .head_dim = 64,
                            .n_runs = 2};
  for (const AttendKernels* kernels : usable_kernels()) {
    REQUIRE(attend_reserve(*kernels, exec.exec(), limits, scratch) == TENURE_OK);
    const std::byte* before = scratch.reserve(0);
    const size_t bytes = scratch.bytes();
    const tenure_kv_run runs[2] = {{10, 0}, {890, 0}};
    std::vector<tenure_kv_view> heads{cache.view(0), cache.view(1)};
    for (uint32_t h = 0; h < 2; ++h) {
      heads[h].mass = mass[h].data();
      heads[h].runs = runs;
      heads[h].n_runs = 2;
    }
    std::vector<float> out(q.size());
    for (uint32_t kind : {TENURE_ROWS_PREFILL, TENURE_ROWS_DECODE}) {
      const tenure_segment segment{.kind = kind,
                                   .n_rows = kind == TENURE_ROWS_DECODE ? 1u : 200u,
                                   .first_pos = 700,
                                   .n_mass_rows = UINT32_MAX,
                                   .pool = &cache.pool(),
                                   .heads = heads.data()};
      REQUIRE(attend(*kernels, exec.exec(),
                     {.segments = &segment,
                      .n_segments = 1,
                      .n_heads = 6,
                      .n_kv_heads = 2,
                      .head_dim = 64,
                      .q = q.data(),
                      .out = out.data()},
                     scratch) == TENURE_OK);
      CHECK(scratch.bytes() == bytes);
      CHECK(scratch.reserve(0) == before);
    }
  }
}

}  // namespace tenure::cpu
