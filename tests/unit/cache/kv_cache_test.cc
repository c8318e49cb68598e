// The cache with real keys and values in it: whatever was appended, released, forked or rebuilt, attention
// sees exactly the positions that the tables say are held.
#include "cache/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>

#include "unit/cache/attention_oracle.h"

namespace tenure::test {
namespace {

constexpr double tolerance = 2e-5;

struct Shape {
  uint32_t granularity = TENURE_GRANULARITY_KV_HEAD;
  bool rank = false;
};

KvConfig config_of(TinyHost& host, const Shape& shape) {
  KvConfig config = host.memory().kv_config(Dtype::f32, Dtype::f32);
  config.granularity = shape.granularity;
  config.arrays = {.score = true, .rank = shape.rank, .state_floats = 0};
  return config;
}

// A cache and how far its sequence is.
struct Sequence {
  std::unique_ptr<KvCache> cache;
  int32_t n_tokens = 0;
};

Sequence start(TinyHost& host, const Shape& shape, KvAccount& account) {
  return {.cache = std::make_unique<KvCache>(host.backend(), host.model().weights(), config_of(host, shape),
                                             account)};
}

double feed(AttentionOracle& oracle, Sequence& sequence, uint32_t n) {
  sequence.cache->begin_step();
  REQUIRE(sequence.cache->append(sequence.n_tokens, n));
  const Rows rows{.cache = sequence.cache.get(), .appended = 0, .first_pos = sequence.n_tokens, .n = n};
  sequence.n_tokens += static_cast<int32_t>(n);
  return oracle.step({&rows, 1});
}

// Random kept sets for every table, at least one slot each.
void release_some(Sequence& sequence, std::mt19937& random, bool compact) {
  KvCache& cache = *sequence.cache;
  for (uint32_t i = 0; i < cache.n_tables(); ++i) {
    const uint32_t n = cache.table(i).size();
    const uint32_t n_gone = compact ? random() % n : random() % std::min(n, 3u);
    std::vector<uint32_t> slots(n);
    std::iota(slots.begin(), slots.end(), 0u);
    std::shuffle(slots.begin(), slots.end(), random);
    slots.resize(n - n_gone);
    std::sort(slots.begin(), slots.end());
    cache.release(i, slots, compact);
  }
  std::vector<int32_t> released;
  REQUIRE(cache.settle(released).ok());
}

// Every run that the tables need is held and no other.
uint64_t needed_bytes(const KvCache& cache) {
  uint64_t bytes = 0;
  for (uint32_t layer = 0; layer < cache.n_layers(); ++layer) {
    for (uint32_t head = 0; head < cache.n_kv_heads(layer); ++head) {
      bytes += cache.pool(layer).runs_for(cache.table_of(layer, head).size()) * cache.pool(layer).run_bytes();
    }
  }
  return bytes;
}

const Shape shapes[] = {{TENURE_GRANULARITY_KV_HEAD, false},
                        {TENURE_GRANULARITY_KV_HEAD, true},
                        {TENURE_GRANULARITY_LAYER, true},
                        {TENURE_GRANULARITY_TOKEN, false},
                        {TENURE_GRANULARITY_TOKEN, true}};

void random_history(TinyHost& host, const Shape& shape, uint32_t seed, int n_steps) {
  std::mt19937 random(seed);
  AttentionOracle oracle(host, shape.rank);
  KvAccount account;
  Sequence sequence = start(host, shape, account);
  CHECK(feed(oracle, sequence, 1 + random() % 90) < tolerance);
  for (int i = 0; i < n_steps; ++i) {
    CAPTURE(i);
    release_some(sequence, random, random() % 2 == 0);
    CHECK(account.bytes == needed_bytes(*sequence.cache));
    CHECK(feed(oracle, sequence, random() % 3 == 0 ? 1 + random() % 70 : 1) < tolerance);
  }
  sequence.cache.reset();
  CHECK(account.bytes == 0);
}

}  // namespace

TEST_CASE("kv cache - after random releases attention sees the survivors, pages of the others are gone") {
  for (const char* backend : {"cpu", "toy"}) {
    TinyHost host(backend);
    for (const Shape& shape : shapes) {
      CAPTURE(backend);
      CAPTURE(shape.granularity);
      CAPTURE(shape.rank);
      for (uint32_t seed = 0; seed < 4; ++seed) random_history(host, shape, seed, 12);
    }
    CHECK(host.memory().bytes_in_use() == 0);
  }
}

TEST_CASE("kv cache - what one side of a fork changes, the other does not see") {
  for (const char* backend : {"cpu", "toy"}) {
    TinyHost host(backend);
    for (const Shape& shape : shapes) {
      CAPTURE(backend);
      CAPTURE(shape.granularity);
      CAPTURE(shape.rank);
      std::mt19937 random(11);
      AttentionOracle oracle(host, shape.rank);
      KvAccount account;
      Sequence trunk = start(host, shape, account);
      feed(oracle, trunk, 150);
      release_some(trunk, random, true);
      std::vector<Sequence> forks;
      const uint64_t before = account.bytes;
      for (int i = 0; i < 3; ++i) forks.push_back({.cache = trunk.cache->fork(), .n_tokens = trunk.n_tokens});
      CHECK(account.bytes == before);  // shared runs count once
      for (int round = 0; round < 4; ++round) {
        for (Sequence& fork : forks) {
          CHECK(feed(oracle, fork, 1 + random() % 40) < tolerance);
          release_some(fork, random, round % 2 == 0);
        }
      }
      CHECK(feed(oracle, trunk, 5) < tolerance);
      for (Sequence& fork : forks) CHECK(feed(oracle, fork, 1) < tolerance);
      forks.clear();
      CHECK(account.bytes == needed_bytes(*trunk.cache));
      CHECK(feed(oracle, trunk, 1) < tolerance);
    }
    CHECK(host.memory().bytes_in_use() == 0);
  }
}

TEST_CASE("kv cache - a fork's writes leave the parent's page bytes as they were") {
  TinyHost host("toy");
  AttentionOracle oracle(host, false);
  KvAccount account;
  Sequence trunk = start(host, {}, account);
  feed(oracle, trunk, 100);
  const PagePool& pool = trunk.cache->pool(0);
  const auto bytes_of = [&](KvCache& cache) {
    std::vector<uint8_t> bytes;
    const tenure_kv_view view = cache.view(0, 0, 0);
    const uint32_t n_pages = (view.n_slots + pool.page_slots() - 1) / pool.page_slots();
    for (uint32_t i = 0; i < n_pages; ++i) {
      const auto* page = static_cast<const uint8_t*>(pool.kv().base) + view.pages[i] * pool.kv().page_bytes;
      bytes.insert(bytes.end(), page, page + pool.kv().page_bytes);
    }
    return bytes;
  };
  const std::vector<uint8_t> before = bytes_of(*trunk.cache);
  Sequence fork{.cache = trunk.cache->fork(), .n_tokens = trunk.n_tokens};
  for (uint32_t i = 0; i < fork.cache->n_tables(); ++i) fork.cache->release(i, {1, 30, 31, 99}, true);
  std::vector<int32_t> released;
  REQUIRE(fork.cache->settle(released).ok());
  CHECK(released.size() == 96 * fork.cache->n_tables());
  CHECK(feed(oracle, fork, 20) < tolerance);
  CHECK(bytes_of(*trunk.cache) == before);
}

TEST_CASE("kv cache - rebuilt rows are seen by the chunk that follows them, where a head lacks them") {
  for (const char* backend : {"cpu", "toy"}) {
    TinyHost host(backend);
    for (const Shape& shape : shapes) {
      CAPTURE(backend);
      CAPTURE(shape.granularity);
      CAPTURE(shape.rank);
      std::mt19937 random(5);
      AttentionOracle oracle(host, shape.rank);
      KvAccount account;
      Sequence sequence = start(host, shape, account);
      feed(oracle, sequence, 120);
      for (int round = 0; round < 8; ++round) {
        release_some(sequence, random, true);
        KvCache& cache = *sequence.cache;
        const auto first = static_cast<int32_t>(random() % 60);
        cache.begin_step();
        REQUIRE(cache.append_rebuilt(first, 30));
        REQUIRE(cache.append(sequence.n_tokens, 9));
        const Rows rows[] = {{.cache = &cache, .appended = 0, .first_pos = first, .n = 30},
                             {.cache = &cache, .appended = 1, .first_pos = sequence.n_tokens, .n = 9}};
        sequence.n_tokens += 9;
        CHECK(oracle.step(rows) < tolerance);
        for (uint32_t i = 0; i < cache.n_tables(); ++i) {
          for (int32_t pos = first; pos < first + 30; ++pos) REQUIRE(cache.table(i).holds(pos));
        }
        CHECK(account.bytes == needed_bytes(cache));
      }
    }
  }
}

TEST_CASE("kv cache - layers with a window lose what no coming row sees, and are no policy's") {
  for (const uint32_t granularity :
       {TENURE_GRANULARITY_TOKEN, TENURE_GRANULARITY_LAYER, TENURE_GRANULARITY_KV_HEAD}) {
    CAPTURE(granularity);
    TinyHost host("toy");
    AttentionOracle oracle(host, true);
    KvConfig config = config_of(host, {.granularity = granularity, .rank = true});
    config.windows = {40, 0, 40};
    KvAccount account;
    Sequence sequence{.cache = std::make_unique<KvCache>(host.backend(), host.model().weights(), config, account)};
    KvCache& cache = *sequence.cache;
    CHECK(cache.n_tables() == (granularity == TENURE_GRANULARITY_KV_HEAD ? 2 : 1));
    CHECK(cache.n_tables_of(0) == 0);
    CHECK(cache.n_heads_decided() == 2);
    std::mt19937 random(5);
    for (const uint32_t n : {90u, 1u, 1u, 50u, 64u, 1u, 7u}) {
      CHECK(feed(oracle, sequence, n) < tolerance);
      const int32_t next = sequence.n_tokens;
      cache.trim_windows(next);
      for (const uint32_t layer : {0u, 2u}) {
        const auto pos = cache.table_of(layer, 1).pos();
        CHECK(pos.back() == next - 1);
        CHECK(pos.front() <= std::max(next - 40 + 1, 0));
        CHECK(pos.front() > next - 40 - static_cast<int32_t>(config.trim_slots));
        CHECK(pos.size() == static_cast<size_t>(next - pos.front()));
      }
      CHECK(cache.table_of(1, 0).size() > 0);
      release_some(sequence, random, true);
      CHECK(account.bytes == needed_bytes(cache));
    }
    const std::unique_ptr<KvCache> fork = cache.fork();
    fork->begin_step();
    REQUIRE(fork->append(sequence.n_tokens, 60));
    const auto before = cache.table_of(0, 0).size();
    fork->trim_windows(sequence.n_tokens + 60);
    CHECK(fork->table_of(0, 0).pos().front() > cache.table_of(0, 0).pos().front());
    CHECK(cache.table_of(0, 0).size() == before);
    CHECK(feed(oracle, sequence, 3) < tolerance);
  }
  TinyHost host;
  CHECK(host.memory().bytes_in_use() == 0);
}

TEST_CASE("kv cache - a pool that is used up says so") {
  TinyHost host;
  KvMemory small(host.backend(), host.config(),
                 8 * host.memory().kv_config(Dtype::f32, Dtype::f32).pools[0]->run_bytes(), 256);
  KvAccount account;
  KvCache cache(host.backend(), host.model().weights(), small.kv_config(Dtype::f32, Dtype::f32), account);
  cache.begin_step();
  CHECK(cache.append(0, 16));  // 6 heads, a run each
  CHECK_FALSE(cache.append(16, 400));
}

TEST_CASE("kv cache - attention mass moves and dies with its slot") {
  TinyHost host;
  KvConfig config = config_of(host, {});
  config.mass = true;
  KvAccount account;
  KvCache cache(host.backend(), host.model().weights(), config, account);
  cache.begin_step();
  REQUIRE(cache.append(0, 40));
  float* mass = cache.view(1, 1, 0).mass;
  for (uint32_t i = 0; i < 40; ++i) mass[i] = static_cast<float>(i);
  KeptSlots keep;
  for (uint32_t i = 0; i < 40; ++i) {
    if (i != 7 && i != 21) keep.push_back(i);
  }
  std::vector<int32_t> released;
  cache.release(cache.first_table(1) + 1, keep, false);
  REQUIRE(cache.settle(released).ok());
  const SlotTable& table = cache.table_of(1, 1);
  REQUIRE(cache.mass(1, 1).size() == 38);
  for (uint32_t slot = 0; slot < 38; ++slot)
    CHECK(cache.mass(1, 1)[slot] == static_cast<float>(table.pos()[slot]));
  CHECK(cache.mass(1, 0).size() == 40);
  cache.clear_mass(TENURE_ALL_LAYERS);
  CHECK(cache.mass(1, 1)[3] == 0.0f);
}

}  // namespace tenure::test
