// A decode step allocates nothing: every allocation of the process is counted while an answer is in its
// steady state.
#include <atomic>
#include <cstdlib>
#include <new>

#include "unit/engine/tiny_engine.h"

extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
}

namespace {
std::atomic<uint64_t> n_allocations{0};
}  // namespace

extern "C" {
void* malloc(size_t bytes) noexcept {
  ++n_allocations;
  return __libc_malloc(bytes);
}
void* calloc(size_t n, size_t bytes) noexcept {
  ++n_allocations;
  return __libc_calloc(n, bytes);
}
void* realloc(void* old, size_t bytes) noexcept {
  ++n_allocations;
  return __libc_realloc(old, bytes);
}
void* aligned_alloc(size_t alignment, size_t bytes) noexcept {
  ++n_allocations;
  return __libc_memalign(alignment, bytes);
}
}

namespace tenure::test {
namespace {

// Allocations between the n_warm-th and the last token of an answer, per token.
uint64_t allocations_of(TinyHost& host, const PolicySettings& policy, uint32_t n_warm, uint32_t n_answer) {
  auto script = script_of(policy, "a", 300, n_answer);
  uint32_t n_tokens = 0;
  uint64_t before = 0;
  uint64_t after = 0;
  script->on_text = [&](const std::string&) {
    if (++n_tokens == n_warm) before = n_allocations;
    after = n_allocations;
  };
  const SessionResult result = run_alone(host, engine_config(), script);
  REQUIRE_FALSE(result.error);
  REQUIRE(n_tokens > n_warm + 100);
  return after - before;
}

}  // namespace

TEST_CASE("decode - no step of a steady answer allocates, whatever the policy") {
  TinyHost host;
  for (const std::string id : {"full", "streaming_llm", "h2o", "random"}) {
    for (uint32_t period : {1u, 4u}) {
      CAPTURE(id);
      CAPTURE(period);
      PolicySettings& policy = host.policy(id);
      policy.budget = slots(128);
      policy.chunk = 128;
      policy.period = period;
      CHECK(allocations_of(host, policy, 20, 400) == 0);
    }
  }
}

TEST_CASE("decode - heads that share a pool allocate only when one grows longer than ever") {
  TinyHost host;
  for (const std::string id : {"h2o", "random"}) {
    for (BudgetScope scope : {BudgetScope::layer, BudgetScope::global}) {
      CAPTURE(id);
      PolicySettings& policy = host.policy(id);
      policy.budget = slots(128);
      policy.chunk = 128;
      policy.scope = scope;
      CHECK(allocations_of(host, policy, 20, 400) <= 6);  // 6 heads, each at most doubles once
    }
  }
}

TEST_CASE("decode - a policy that asks for rebuilds of nothing allocates nothing either") {
  TinyHost host;
  PolicySettings& policy = host.policy("rebuild_test", {{"first", int64_t{100000}}});
  policy.budget = slots(128);
  policy.chunk = 128;
  CHECK(allocations_of(host, policy, 20, 400) == 0);
}

TEST_CASE("counting - an allocation is counted") {
  const uint64_t before = n_allocations;
  std::vector<int> some(1000);
  CHECK(some.size() == 1000);
  CHECK(n_allocations > before);
}

}  // namespace tenure::test
