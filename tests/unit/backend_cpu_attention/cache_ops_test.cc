#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "cache_append.h"
#include "cache_move.h"
#include "page_layout.h"
#include "paged_cache.h"

namespace tenure::cpu {
namespace {

constexpr uint32_t kTypes[] = {TENURE_F32, TENURE_F16, TENURE_BF16};

double cached_key(const tenure_kv_pool& pool, const uint32_t* pages, uint32_t head_dim, uint32_t slot,
                  uint32_t d) {
  const uint8_t* page = static_cast<const uint8_t*>(pool.base) + pages[slot / 16] * pool.page_bytes;
  return read_element(page + (d * 16 + slot % 16) * row_format(pool.k_type).unit_bytes, pool.k_type) +
         0 * head_dim;
}
double cached_value(const tenure_kv_pool& pool, const uint32_t* pages, uint32_t head_dim, uint32_t slot,
                    uint32_t d) {
  const uint8_t* page = static_cast<const uint8_t*>(pool.base) + pages[slot / 16] * pool.page_bytes;
  const uint32_t offset = PageLayout{head_dim, pool.k_type, pool.v_type}.v_offset();
  return read_element(page + offset + (slot % 16 * head_dim + d) * row_format(pool.v_type).unit_bytes,
                      pool.v_type);
}

}  // namespace

TEST_CASE("cache_append - written rows take consecutive slots, rounded once; nothing else changes") {
  constexpr uint32_t n_rows = 37;
  constexpr uint32_t dim = 48;
  const std::vector<float> k = random_floats(n_rows * 2 * dim, 1);
  const std::vector<float> v = random_floats(n_rows * 2 * dim, 2);
  std::vector<uint8_t> mask(n_rows);
  for (uint32_t r = 0; r < n_rows; ++r) mask[r] = r % 3 != 1;
  for (const AttendKernels* kernels : usable_kernels())
    for (uint32_t k_type : kTypes)
      for (uint32_t v_type : kTypes) {
        CAPTURE(kernels->name);
        PagedCache cache({.head_dim = dim, .n_kv_heads = 2, .k_type = k_type, .v_type = v_type},
                         {ascending(80), ascending(61)}, 5);
        tenure_kv_view heads[2] = {cache.view(0), cache.view(1)};
        heads[0].first_slot = 43;
        heads[1].first_slot = 30;
        heads[1].write_mask = mask.data();
        const tenure_segment segment{.first_row = 0, .n_rows = n_rows, .pool = &cache.pool(), .heads = heads};
        const TestExec exec(2);
        cache_append(*kernels, exec.exec(),
                     {.segments = &segment,
                      .n_segments = 1,
                      .n_kv_heads = 2,
                      .head_dim = dim,
                      .k = k.data(),
                      .v = v.data()});
        for (uint32_t h = 0; h < 2; ++h) {
          uint32_t slot = heads[h].first_slot;
          uint32_t wrong = 0;
          for (uint32_t s = 0; s < slot; ++s)
            for (uint32_t d = 0; d < dim; ++d)
              wrong += cached_key(cache.pool(), heads[h].pages, dim, s, d) != cache.key(h, s, d) ||
                       cached_value(cache.pool(), heads[h].pages, dim, s, d) != cache.value(h, s, d);
          for (uint32_t r = 0; r < n_rows; ++r) {
            if (h == 1 && mask[r] == 0) continue;
            for (uint32_t d = 0; d < dim; ++d) {
              const size_t at = (r * 2 + h) * dim + d;
              wrong += cached_key(cache.pool(), heads[h].pages, dim, slot, d) != stored(k[at], k_type);
              wrong += cached_value(cache.pool(), heads[h].pages, dim, slot, d) != stored(v[at], v_type);
            }
            ++slot;
          }
          for (uint32_t s = slot; s < heads[h].n_slots; ++s)
            for (uint32_t d = 0; d < dim; ++d)
              wrong += cached_key(cache.pool(), heads[h].pages, dim, s, d) != cache.key(h, s, d);
          CHECK(wrong == 0);
        }
      }
}

TEST_CASE("cache_append - halves round to nearest even, overflow to infinity, keep subnormals and NaN") {
  std::vector<float> x(16, 0.0f);
  const float special[] = {1.0f + 0x1p-11f, 1.0f + 0x3p-11f, 65519.0f, 65520.0f, -1e30f,
                           0x1p-24f,        0x1.8p-25f,      -0.0f,    NAN,      INFINITY};
  std::copy(std::begin(special), std::end(special), x.begin());
  for (const AttendKernels* kernels : usable_kernels())
    for (uint32_t type : kTypes) {
      CAPTURE(kernels->name);
      CAPTURE(type);
      PackedRow packed;
      float back[16];
      kernels->narrow[type](x.data(), 16, packed);
      kernels->widen[type](packed, 16, back);
      for (uint32_t i = 0; i < 16; ++i) {
        CAPTURE(i);
        const double expected = std::isnan(x[i]) ? NAN : stored(x[i], type);
        CHECK((std::isnan(expected) ? std::isnan(back[i])
                                    : back[i] == expected && std::signbit(back[i]) == std::signbit(x[i])));
      }
    }
}

TEST_CASE("cache_move - compaction in place keeps the survivors in order") {
  for (uint32_t k_type : kTypes)
    for (uint32_t v_type : kTypes) {
      const PagedCache cache({.head_dim = 32, .n_kv_heads = 2, .k_type = k_type, .v_type = v_type},
                             {ascending(100), ascending(50)}, 5);
      std::vector<tenure_kv_move> bulk;
      std::vector<uint32_t> survivors;
      for (uint32_t s = 0; s < 100; ++s)
        if (s % 7 < 3) {
          if (s != survivors.size()) bulk.push_back({s, static_cast<uint32_t>(survivors.size())});
          survivors.push_back(s);
        }
      const tenure_kv_move last_into_hole{49, 5};
      const tenure_kv_moves moves[2] = {
          {&cache.pool(), cache.view(0).pages, bulk.data(), static_cast<uint32_t>(bulk.size()), 32},
          {&cache.pool(), cache.view(1).pages, &last_into_hole, 1, 32}};
      const TestExec exec(2);
      cache_move(exec.exec(), 2, moves);
      uint32_t wrong = 0;
      for (uint32_t d = 0; d < 32; ++d) {
        for (uint32_t i = 0; i < survivors.size(); ++i) {
          wrong += cached_key(cache.pool(), cache.view(0).pages, 32, i, d) != cache.key(0, survivors[i], d);
          wrong +=
              cached_value(cache.pool(), cache.view(0).pages, 32, i, d) != cache.value(0, survivors[i], d);
        }
        for (uint32_t i = 0; i < 49; ++i) {
          wrong +=
              cached_key(cache.pool(), cache.view(1).pages, 32, i, d) != cache.key(1, i == 5 ? 49 : i, d);
          wrong +=
              cached_value(cache.pool(), cache.view(1).pages, 32, i, d) != cache.value(1, i == 5 ? 49 : i, d);
        }
      }
      CHECK(wrong == 0);
    }
}

TEST_CASE("cache_read - every slot's key and value, and nothing behind the last") {
  constexpr uint32_t dim = 48;
  for (uint32_t k_type : kTypes)
    for (uint32_t n_slots : {1u, 16u, 17u, 100u}) {
      const PagedCache cache({.head_dim = dim, .n_kv_heads = 1, .k_type = k_type, .v_type = TENURE_F16},
                             {ascending(100)}, 5);
      for (const AttendKernels* kernels : usable_kernels()) {
        CAPTURE(kernels->name);
        CAPTURE(k_type);
        CAPTURE(n_slots);
        std::vector<float> k(n_slots * dim + 16, -7.0f);
        std::vector<float> v = k;
        const tenure_kv_read read{.pool = &cache.pool(),
                                  .pages = cache.view(0).pages,
                                  .k = k.data(),
                                  .v = v.data(),
                                  .n_slots = n_slots,
                                  .head_dim = dim};
        const TestExec exec(2);
        cache_read(*kernels, exec.exec(), 1, &read);
        uint32_t wrong = 0;
        for (uint32_t s = 0; s < n_slots; ++s)
          for (uint32_t d = 0; d < dim; ++d) {
            wrong += k[s * dim + d] != cache.key(0, s, d);
            wrong += v[s * dim + d] != cache.value(0, s, d);
          }
        for (uint32_t i = n_slots * dim; i < k.size(); ++i) wrong += k[i] != -7.0f || v[i] != -7.0f;
        CHECK(wrong == 0);
      }
    }
}

TEST_CASE("cache_move - one slot of each of many heads, whatever the threads") {
  constexpr uint32_t n_heads = 50;
  constexpr uint32_t dim = 32;
  std::vector<std::vector<int32_t>> slots(n_heads, ascending(20));
  for (uint32_t type : {TENURE_F16, TENURE_F32}) {
    const PagedCache cache({.head_dim = dim, .n_kv_heads = n_heads, .k_type = type, .v_type = type}, slots, 5);
    std::vector<tenure_kv_move> move(n_heads);
    std::vector<tenure_kv_moves> moves;
    for (uint32_t h = 0; h < n_heads; ++h) {
      move[h] = {.src = 19, .dst = h % 19};
      moves.push_back({&cache.pool(), cache.view(h).pages, &move[h], h % 7 == 3 ? 0u : 1u, dim});
    }
    const TestExec exec(3);
    cache_move(exec.exec(), n_heads, moves.data());
    uint32_t wrong = 0;
    for (uint32_t h = 0; h < n_heads; ++h)
      for (uint32_t s = 0; s < 20; ++s)
        for (uint32_t d = 0; d < dim; ++d) {
          const uint32_t source = moves[h].n_moves == 1 && s == h % 19 ? 19 : s;
          wrong += cached_key(cache.pool(), cache.view(h).pages, dim, s, d) != cache.key(h, source, d);
          wrong += cached_value(cache.pool(), cache.view(h).pages, dim, s, d) != cache.value(h, source, d);
        }
    CHECK(wrong == 0);
  }
}

TEST_CASE("cache_copy - whole pages, byte for byte, and only those") {
  constexpr uint32_t n_pages = 60;
  const uint32_t page_bytes = PageLayout{16, TENURE_F16, TENURE_F16}.bytes();
  std::vector<uint8_t> bytes(n_pages * page_bytes);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 31 + i / page_bytes);
  const std::vector<uint8_t> before = bytes;
  const tenure_kv_pool pool{
      .base = bytes.data(), .page_bytes = page_bytes, .k_type = TENURE_F16, .v_type = TENURE_F16};
  std::vector<tenure_page_copy> copies;
  for (uint32_t p = 0; p < 20; ++p) copies.push_back({&pool, p, 59 - p});
  const TestExec exec(2);
  cache_copy(exec.exec(), 20, copies.data());
  for (uint32_t p = 0; p < n_pages; ++p) {
    const uint32_t source = p >= 40 ? 59 - p : p;
    CHECK(std::memcmp(bytes.data() + p * page_bytes, before.data() + source * page_bytes, page_bytes) == 0);
  }
}

TEST_CASE("cache_rotate - turns the keys asked for, leaves values and other keys alone") {
  for (uint32_t type : kTypes)
    for (uint32_t kind : {TENURE_ROPE_INTERLEAVED, TENURE_ROPE_HALVES}) {
      const PagedCache cache({.head_dim = 64, .k_type = type, .v_type = TENURE_F16}, {ascending(45)}, 5);
      const RopeTable table(10000.0, 32, kind);
      std::vector<int32_t> delta(45, 0);
      for (uint32_t s = 0; s < 45; s += 2) delta[s] = 17 - 40 * static_cast<int32_t>(s);
      for (const AttendKernels* kernels : usable_kernels()) {
        CAPTURE(kernels->name);
        PagedCache turned(cache.shape(), {ascending(45)}, 5);
        cache_rotate(
            *kernels, table,
            {.pool = &turned.pool(), .pages = turned.view(0).pages, .delta = delta.data(), .n_slots = 45},
            64);
        double worst = 0;
        uint32_t changed = 0;
        for (uint32_t s = 0; s < 45; ++s) {
          std::vector<double> key(64);
          for (uint32_t d = 0; d < 64; ++d) key[d] = cache.key(0, s, d);
          if (delta[s] != 0) rotate_reference(10000.0, 32, kind, delta[s], key);
          for (uint32_t d = 0; d < 64; ++d) {
            const double got = cached_key(turned.pool(), turned.view(0).pages, 64, s, d);
            worst = std::max(worst, std::abs(got - key[d]) / std::max(1.0, std::abs(key[d])));
            changed += delta[s] == 0 && got != key[d];
            changed += cached_value(turned.pool(), turned.view(0).pages, 64, s, d) != cache.value(0, s, d);
          }
        }
        CHECK(changed == 0);
        CHECK(worst < (type == TENURE_F32 ? 2e-6 : type == TENURE_F16 ? 1e-3 : 8e-3));
      }
    }
}

}  // namespace tenure::cpu
