// What admission reserves is never less than what a request comes to hold.
#include "engine/footprint.h"

#include <random>

#include "unit/engine/tiny_engine.h"

namespace tenure::test {
namespace {

SegmentScript random_segment(std::mt19937& random, uint64_t seed, bool first) {
  SegmentScript segment;
  segment.ids = some_ids(first || random() % 4 != 0 ? 1 + random() % 150 : 0, seed);
  const uint32_t asks = random() % 3;
  if (asks == 0) segment.generate = 1 + random() % 60;
  if (asks == 1) segment.score = some_ids(1 + random() % 40, seed + 1);
  segment.fork = !first && random() % 3 == 0;
  segment.probe = segment.fork && random() % 2 == 0;
  return segment;
}

std::shared_ptr<SessionScript> random_script(std::mt19937& random, const PolicySettings& policy) {
  auto script = script_of(policy, "r", 1, 1);
  script->segments.clear();
  const uint32_t n = 1 + random() % 4;
  for (uint32_t i = 0; i < n; ++i) script->segments.push_back(random_segment(random, random(), i == 0));
  return script;
}

void set_randomly(PolicySettings& policy, std::mt19937& random) {
  policy.budget = slots(8 + random() % 80);
  policy.chunk = 16 << (random() % 4);
  policy.period = random() % 3 == 0 ? 5 : 1;
  policy.slack = random() % 3 == 0 ? 7 : 0;
  policy.n_sink = share(random() % 4);
  policy.when =
      random() % 3 == 0 ? uint32_t{TENURE_PHASE_CHUNK} : uint32_t{TENURE_PHASE_CHUNK | TENURE_PHASE_DECODE};
  if (random() % 6 == 0) policy.when = TENURE_PHASE_DECODE;
  const bool one_table = policy.granularity == TENURE_GRANULARITY_TOKEN;
  policy.scope = one_table ? BudgetScope::head : static_cast<BudgetScope>(random() % 3);
}

uint64_t reserved_for(TinyHost& host, const SessionScript& script, uint32_t max_rebuild_rows) {
  const KvConfig kv = host.memory().kv_config(script.policy->k_type, script.policy->v_type);
  const SessionBudget budget = session_budget(*script.policy, script.n_fed(), script.n_total(),
                                              slot_bytes(kv), host.config().n_ctx, max_rebuild_rows);
  return footprint(script, budget, kv, max_rebuild_rows).at_start();
}

}  // namespace

TEST_CASE("footprint - covers the peak of random scripts under every policy and scope") {
  TinyHost host;
  std::mt19937 random(17);
  EngineConfig config = engine_config();
  for (const char* id : {"full", "streaming_llm", "h2o", "random", "rebuild_test"}) {
    for (int i = 0; i < 25; ++i) {
      CAPTURE(id);
      CAPTURE(i);
      PolicySettings& policy = host.policy(id, {{"first", int64_t{3}}, {"n", int64_t{20}}});
      if (policy.when != 0) set_randomly(policy, random);
      const std::shared_ptr<SessionScript> script = random_script(random, policy);
      // Exactly what was reserved is there, so that one page more would end the request.
      config.memory = reserved_for(host, *script, config.max_rebuild_rows);
      const SessionResult result = run_alone(host, config, script);
      CHECK_MESSAGE(!result.error, (result.error ? result.error->message : ""));
      CHECK(result.peak_bytes <= config.memory);
    }
  }
}

TEST_CASE("footprint - layers with a window reserve what is left of a sequence, whatever the budget") {
  TinyHost host("cpu", "tiny-gemma3-f32");
  std::mt19937 random(23);
  EngineConfig config = engine_config();
  for (const char* id : {"full", "streaming_llm", "h2o", "random"}) {
    for (int i = 0; i < 8; ++i) {
      CAPTURE(id);
      CAPTURE(i);
      PolicySettings& policy = host.policy(id, {});
      if (policy.when != 0) set_randomly(policy, random);
      const std::shared_ptr<SessionScript> script = random_script(random, policy);
      script->segments[0].ids = some_ids(500 + random() % 400, random());
      config.memory = reserved_for(host, *script, 0);
      const SessionResult result = run_alone(host, config, script);
      CHECK_MESSAGE(!result.error, (result.error ? result.error->message : ""));
      CHECK(result.peak_bytes <= config.memory);
    }
  }
  // 24 + 256 + 512 slots at most in five layers, 1,000 in the sixth.
  KvConfig kv = host.memory().kv_config(Dtype::f32, Dtype::f32);
  CHECK(dense_bytes(kv, 1000, 1000) == (5 * 13 + 16) * kv.pools[0]->run_bytes());
  CHECK(slot_bytes(kv) == 2 * 16 * sizeof(float));
}

TEST_CASE("footprint - an answer's growth is still there when the next chunk is fed") {
  TinyHost host;
  PolicySettings& policy = host.policy("streaming_llm");
  policy.budget = slots(60);
  policy.chunk = 64;
  policy.when = TENURE_PHASE_CHUNK;  // decode releases nothing: 60 + 61 + 64 slots, three runs of 64
  auto script = script_of(policy, "r", 200, 61);
  script->segments.push_back(script_of(policy, "more", 200, 1)->segments[0]);
  EngineConfig config = engine_config();
  config.memory = reserved_for(host, *script, 0);
  const SessionResult result = run_alone(host, config, script);
  CHECK_MESSAGE(!result.error, (result.error ? result.error->message : ""));
  CHECK(result.peak_bytes == dense_bytes(host.memory().kv_config(Dtype::f32, Dtype::f32), 185, 185));
}

TEST_CASE("footprint - heads that may differ in length reserve a run more each") {
  TinyHost host;
  const KvConfig kv = host.memory().kv_config(Dtype::f32, Dtype::f32);
  const auto steady = [&](const char* id) {
    PolicySettings& policy = host.policy(id);
    policy.budget = slots(64);
    const auto script = script_of(policy, "r", 500, 10);
    const SessionBudget budget = session_budget(policy, 500, 510, 1, 512, 0);
    return footprint(*script, budget, kv, 0).steady;
  };
  CHECK(steady("streaming_llm") == dense_bytes(kv, 65, 65));
  // n_keep and keep() may give one head what another leaves, also under scope "head".
  CHECK(steady("h2o") == dense_bytes(kv, 65, 65) + 6 * kv.pools[0]->run_bytes());
}

TEST_CASE("footprint - a budget reserves less than the full cache") {
  TinyHost host;
  PolicySettings& bounded = host.policy("streaming_llm");
  bounded.budget = slots(64);
  bounded.chunk = 64;
  const PolicySettings& full = host.policy("full");
  const uint64_t whole = reserved_for(host, *script_of(full, "a", 900, 100), 0);
  CHECK(reserved_for(host, *script_of(bounded, "a", 900, 100), 0) * 4 < whole);
  CHECK(whole == dense_bytes(host.memory().kv_config(Dtype::f32, Dtype::f32), 1000, 1000));
}

TEST_CASE("footprint - sizes are those of the pools") {
  TinyHost host;
  const KvConfig kv = host.memory().kv_config(Dtype::f32, Dtype::f16);
  CHECK(slot_bytes(kv) == 3 * 2 * 16 * (4 + 2));  // layers, KV heads, head_dim, bytes of K and V
  CHECK(dense_bytes(kv, 1, 1) == 3 * 2 * kv.pools[0]->run_bytes());
  CHECK(dense_bytes(kv, 0, 0) == 0);
  CHECK(dense_bytes(kv, kv.pools[0]->run_slots() + 1, 1) == 2 * dense_bytes(kv, 1, 1));
}

}  // namespace tenure::test
