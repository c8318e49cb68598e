#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "page_layout.h"
#include "paged_cache.h"

namespace tenure::cpu {
namespace {

double largest_difference(const std::vector<float>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return 1e9;
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(a[i] - b[i]);
    worst = difference > worst || std::isnan(difference) ? difference : worst;
    if (std::isnan(worst)) return 1e9;
  }
  return worst;
}

// bf16 products are used for prefill unless a cached type is f32.
double tolerance(const AttendKernels& kernels, const Shape& shape, uint32_t kind) {
  const bool fast = kernels.prefill_fast.element_bytes == 2 && kind != TENURE_ROWS_DECODE &&
                    shape.k_type != TENURE_F32 && shape.v_type != TENURE_F32;
  return fast ? 3e-2 : shape.k_type > TENURE_BF16 ? 5e-4 : 2e-5;  // quantised keys meet queries of 16 bits
}

void check(const PagedCache& cache, const Rows& rows, uint32_t kind) {
  const Shape& shape = cache.shape();
  const std::vector<float> q = random_floats(uint64_t{rows.n_rows} * shape.n_heads() * shape.head_dim, 7);
  const Reference expected = reference_attend(cache, rows, q);
  for (const AttendKernels* kernels : usable_kernels()) {
    CAPTURE(kernels->name);
    CAPTURE(shape.head_dim);
    CAPTURE(shape.group_size);
    CAPTURE(shape.k_type);
    CAPTURE(shape.v_type);
    CAPTURE(cache.positions(0).size());
    const Attended got = run_attend(cache, rows, q, {.kernels = kernels, .kind = kind, .mass = true});
    const double allowed = tolerance(*kernels, shape, kind);
    CHECK(largest_difference(got.out, expected.out) < allowed);
    for (uint32_t h = 0; h < shape.n_kv_heads; ++h) {
      const double worst = *std::max_element(expected.mass[h].begin(), expected.mass[h].end());
      CHECK(largest_difference(got.mass[h], expected.mass[h]) < allowed * std::max(worst, 1.0));
    }
  }
}

std::vector<int32_t> scattered(uint32_t n, int32_t limit, uint32_t seed) {
  std::vector<int32_t> all = ascending(static_cast<uint32_t>(limit));
  std::mt19937 random(seed);
  std::shuffle(all.begin(), all.end(), random);
  all.resize(n);
  return all;
}

}  // namespace

TEST_CASE("decode - every head size and group agrees with double precision") {
  for (uint32_t head_dim : {16u, 32u, 64u, 96u, 128u, 256u})
    for (uint32_t group_size : {1u, 3u, 4u, 9u})
      for (uint32_t n : {1u, 15u, 33u, 300u}) {
        const PagedCache cache({.head_dim = head_dim, .group_size = group_size}, {ascending(n)}, n);
        check(cache, {.first_pos = static_cast<int32_t>(n) - 1, .n_rows = 1}, TENURE_ROWS_DECODE);
      }
}

TEST_CASE("prefill - every head size and group agrees with double precision") {
  for (uint32_t head_dim : {16u, 32u, 64u, 96u, 128u, 256u})
    for (uint32_t group_size : {1u, 3u, 4u, 9u})
      for (uint32_t n : {1u, 17u, 130u}) {
        const PagedCache cache({.head_dim = head_dim, .group_size = group_size}, {ascending(n)}, n);
        check(cache, {.first_pos = 0, .n_rows = n}, TENURE_ROWS_PREFILL);
      }
}

TEST_CASE("attend - every pair of cache types agrees with double precision") {
  for (uint32_t k_type : {TENURE_F32, TENURE_F16, TENURE_BF16, TENURE_Q8_0, TENURE_Q4_1})
    for (uint32_t v_type : {TENURE_F32, TENURE_F16, TENURE_BF16, TENURE_Q8_0, TENURE_Q4_1}) {
      const PagedCache cache({.n_kv_heads = 2, .k_type = k_type, .v_type = v_type},
                             {ascending(600), ascending(75, 525)}, 5);
      check(cache, {.first_pos = 599, .n_rows = 1}, TENURE_ROWS_DECODE);
      check(cache, {.first_pos = 560, .n_rows = 40}, TENURE_ROWS_PREFILL);
    }
}

TEST_CASE("attend - quantised pages of every head size and group agree with double precision") {
  for (uint32_t type : {TENURE_Q8_0, TENURE_Q4_1})
    for (uint32_t head_dim : {32u, 64u, 96u, 128u, 256u})
      for (uint32_t group_size : {1u, 2u, 3u, 9u}) {
        const PagedCache cache({.head_dim = head_dim, .group_size = group_size, .k_type = type, .v_type = type},
                               {ascending(307)}, head_dim);
        check(cache, {.first_pos = 306, .n_rows = 1}, TENURE_ROWS_DECODE);
        check(cache, {.first_pos = 290, .n_rows = 17}, TENURE_ROWS_PREFILL);
      }
}

TEST_CASE("attend - long ragged caches agree with double precision") {
  const PagedCache cache({.head_dim = 32, .n_kv_heads = 3, .group_size = 2},
                         {ascending(3000), ascending(1029, 1971), ascending(512, 2488)}, 3);
  check(cache, {.first_pos = 2999, .n_rows = 1}, TENURE_ROWS_DECODE);
  check(cache, {.first_pos = 2952, .n_rows = 48}, TENURE_ROWS_PREFILL);
}

TEST_CASE("attend - a row sees only slots at or before its position, wherever they lie") {
  const PagedCache cache({.n_kv_heads = 2}, {scattered(700, 900, 1), scattered(333, 900, 2)}, 4);
  check(cache, {.first_pos = 450, .n_rows = 1}, TENURE_ROWS_DECODE);
  check(cache, {.first_pos = 400, .n_rows = 64}, TENURE_ROWS_PREFILL);
  check(cache, {.first_pos = 100, .n_rows = 32}, TENURE_ROWS_REBUILD);
}

TEST_CASE("attend - a window hides what is too old, also among the leading slots before every row") {
  const PagedCache in_order({.n_kv_heads = 1}, {ascending(700)}, 4);
  check(in_order, {.first_pos = 699, .n_rows = 1, .window = 100}, TENURE_ROWS_DECODE);
  check(in_order, {.first_pos = 650, .n_rows = 50, .window = 100}, TENURE_ROWS_PREFILL);
  const PagedCache cache({.n_kv_heads = 1}, {scattered(700, 900, 8)}, 4);
  for (uint32_t window : {1u, 37u, 512u}) {
    check(cache, {.first_pos = 850, .n_rows = 1, .window = window}, TENURE_ROWS_DECODE);
    check(cache, {.first_pos = 800, .n_rows = 70, .window = window}, TENURE_ROWS_PREFILL);
  }
}

TEST_CASE("attend - runs turn the query by their shift") {
  for (uint32_t kind : {TENURE_ROPE_INTERLEAVED, TENURE_ROPE_HALVES}) {
    const RopeTable rope(10000.0, 48, kind);
    const PagedCache cache({.n_kv_heads = 2}, {ascending(400, 100), ascending(400, 100)}, 6);
    const Rows rows{
        .first_pos = 450, .n_rows = 50, .rope = &rope, .runs = {{4, 96}, {300, 0}, {13, -700}, {83, 5}}};
    check(cache, rows, TENURE_ROWS_PREFILL);
    Rows one = rows;
    one.n_rows = 1;
    one.first_pos = 499;
    check(cache, one, TENURE_ROWS_DECODE);
  }
}

TEST_CASE("attend - a row that sees nothing gives zeros and adds no mass") {
  const PagedCache cache({}, {ascending(40, 1000)}, 6);
  check(cache, {.first_pos = 3, .n_rows = 5}, TENURE_ROWS_PREFILL);
  check(cache, {.first_pos = 3, .n_rows = 1}, TENURE_ROWS_DECODE);
}

TEST_CASE("attend - large scores neither overflow nor lose the largest") {
  const PagedCache cache({.k_type = TENURE_F32, .v_type = TENURE_F32}, {ascending(600)}, 9);
  std::vector<float> q = random_floats(20 * 3 * 64, 11);
  for (float& x : q) x *= 100.0f;
  const Rows rows{.first_pos = 580, .n_rows = 20};
  const Reference expected = reference_attend(cache, rows, q);
  for (const AttendKernels* kernels : usable_kernels()) {
    CAPTURE(kernels->name);
    CHECK(largest_difference(run_attend(cache, rows, q, {.kernels = kernels}).out, expected.out) < 2e-3);
  }
}

TEST_CASE("mass - counts only the last rows asked for") {
  const PagedCache cache({.n_kv_heads = 2}, {ascending(600), ascending(600)}, 2);
  for (uint32_t n : {1u, 16u, 37u, 100u})
    check(cache, {.first_pos = 500, .n_rows = 100, .n_mass_rows = n}, TENURE_ROWS_PREFILL);
}

TEST_CASE("mass - sums to one for each row that counts") {
  const PagedCache cache({.n_kv_heads = 2, .group_size = 4}, {ascending(1500), scattered(700, 1500, 5)}, 2);
  const std::vector<float> q = random_floats(200 * 8 * 64, 3);
  for (const AttendKernels* kernels : usable_kernels()) {
    CAPTURE(kernels->name);
    const Attended got =
        run_attend(cache, {.first_pos = 1300, .n_rows = 200}, q, {.kernels = kernels, .mass = true});
    for (const auto& mass : got.mass)
      CHECK(std::accumulate(mass.begin(), mass.end(), 0.0) == doctest::Approx(200).epsilon(2e-4));
    const Attended one = run_attend(cache, {.first_pos = 1499, .n_rows = 1}, q,
                                    {.kernels = kernels, .kind = TENURE_ROWS_DECODE, .mass = true});
    for (const auto& mass : one.mass)
      CHECK(std::accumulate(mass.begin(), mass.end(), 0.0) == doctest::Approx(1).epsilon(1e-5));
  }
}

TEST_CASE("page layout - a page holds what the formula says, and only known types") {
  CHECK(PageLayout{64, TENURE_F16, TENURE_F16}.bytes() == 4096);
  CHECK(PageLayout{128, TENURE_F32, TENURE_BF16}.bytes() == 16 * 128 * 6);
  CHECK(PageLayout{128, TENURE_F32, TENURE_BF16}.v_offset() == 8192);
  CHECK(PageLayout{256, TENURE_F16, TENURE_F32}.supported());
  CHECK_FALSE(PageLayout{40, TENURE_F16, TENURE_F16}.supported());
  CHECK_FALSE(PageLayout{272, TENURE_F16, TENURE_F16}.supported());
  CHECK_FALSE(PageLayout{64, TENURE_Q4_0, TENURE_F16}.supported());
}

TEST_CASE("page layout - quantised pages take 0.53 and 0.34 of the bytes of f16, and need whole groups") {
  for (uint32_t head_dim : {32u, 64u, 96u, 128u, 256u}) {
    const double f16 = PageLayout{head_dim, TENURE_F16, TENURE_F16}.bytes();
    CHECK(PageLayout{head_dim, TENURE_Q8_0, TENURE_Q8_0}.bytes() == f16 * 34 / 64);
    CHECK(PageLayout{head_dim, TENURE_Q4_1, TENURE_Q4_1}.bytes() == f16 * (24 + 20) / 128);
    CHECK(PageLayout{head_dim, TENURE_Q8_0, TENURE_F16}.bytes() % 64 == 0);
  }
  CHECK(PageLayout{48, TENURE_F16, TENURE_F16}.supported());
  CHECK_FALSE(PageLayout{48, TENURE_Q8_0, TENURE_F16}.supported());
  CHECK_FALSE(PageLayout{80, TENURE_F16, TENURE_Q4_1}.supported());
  CHECK_FALSE(PageLayout{64, TENURE_Q5_1, TENURE_F16}.supported());
  CHECK_FALSE(PageLayout{64, TENURE_F16, TENURE_Q5_1}.supported());
}

}  // namespace tenure::cpu
