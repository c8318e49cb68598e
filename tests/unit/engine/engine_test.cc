// Admission, batches, ends: requests of the tiny model through the real engine.
#include "engine/engine.h"

#include <algorithm>
#include <atomic>
#include <future>
#include <thread>

#include "unit/engine/tiny_engine.h"

namespace tenure::test {
namespace {

struct Run {
  explicit Run(TinyHost& host, const EngineConfig& config = engine_config())
      : engine(host.model(), host.backend(), host.language().tokenizer(), config) {}
  void add(std::shared_ptr<const SessionScript> script) { submit(engine, finished, std::move(script)); }

  Finished finished;
  Engine engine;
};

// Lets a request reach the engine and stand there until the test says go: its first token's text blocks.
struct Gate {
  std::promise<void> opened, reached;
  std::shared_future<void> open = opened.get_future().share();
  bool first = true;
  void hold(SessionScript& script) {
    script.on_text = [this](const std::string&) {
      if (!first) return;
      first = false;
      reached.set_value();
      open.wait();
    };
  }
};

// Four threads of the test's own, which take a region's last task first.
struct Crowd {
  static constexpr uint32_t n_workers = 4;
  uint32_t n_regions = 0;
  Executor executor() {
    Executor executor = serial_executor();
    executor.ctx = this;
    executor.n_workers = [](void*) { return n_workers; };
    executor.parallel_for = [](void* self, uint32_t n_tasks, tenure_task task, void* ctx) {
      ++static_cast<Crowd*>(self)->n_regions;
      std::atomic<int32_t> next{static_cast<int32_t>(n_tasks) - 1};
      std::vector<std::thread> threads;
      for (uint32_t worker = 0; worker < n_workers; ++worker) {
        threads.emplace_back([&next, task, ctx, worker] {
          for (int32_t i = next--; i >= 0; i = next--) task(ctx, static_cast<uint32_t>(i), worker);
        });
      }
      for (std::thread& thread : threads) thread.join();
    };
    return executor;
  }
};

uint64_t memory_for(TinyHost& host, uint32_t n_tokens, uint32_t n_sessions) {
  return n_sessions * dense_bytes(host.memory().kv_config(Dtype::f32, Dtype::f32), n_tokens, n_tokens);
}

}  // namespace

TEST_CASE("engine - an observer is told the rows of every forward and what they had to read") {
  TinyHost host;
  PolicySettings& policy = host.policy("full");
  const uint64_t slot = slot_bytes(host.memory().kv_config(policy.k_type, policy.v_type));
  std::vector<PassFigures> passes;
  Run run(host, engine_config(uint64_t{64} << 20, 16));
  run.engine.watch([&](const PassFigures& pass) { passes.push_back(pass); });
  run.add(script_of(policy, "a", 50, 9));
  run.finished.wait_for(1);
  REQUIRE(passes.size() == 4 + 8);  // 50 rows by 16; the first of 9 tokens comes out of the last of them
  uint64_t n_fed = 0;
  for (size_t i = 0; i < passes.size(); ++i) {
    CAPTURE(i);
    n_fed += passes[i].n_prefilled + passes[i].n_decoded;
    CHECK(passes[i].n_prefilled == (i < 3 ? 16u : i == 3 ? 2u : 0u));
    CHECK(passes[i].n_decoded == (i < 4 ? 0u : 1u));
    CHECK(passes[i].work.kv_bytes == n_fed * slot);
  }
  const Model& model = host.model();
  REQUIRE(model.config().tied_head);
  CHECK(passes.back().work.weight_bytes == model.weights_bytes());
  // Nobody wants logits of the first rows, so of the table that is also the head they read their own part.
  const uint64_t row_bytes = sizeof(float) * model.config().n_embd;
  CHECK(passes.front().work.weight_bytes ==
        model.weights_bytes() - model.given_weights().head.bytes + 16 * row_bytes);
}

TEST_CASE("engine - a request's tokens do not depend on its neighbours or on how its prompt is cut") {
  TinyHost host;
  for (const char* id : {"full", "streaming_llm", "h2o"}) {
    CAPTURE(id);
    PolicySettings& policy = host.policy(id);
    policy.budget = slots(40);
    policy.chunk = 32;
    std::vector<std::vector<int32_t>> alone;
    for (int i = 0; i < 6; ++i) {
      const auto script = script_of(policy, std::to_string(i), 30 + 37 * i, 40);
      alone.push_back(run_alone(host, engine_config(), script).segments.at(0).tokens);
      CHECK(alone.back().size() == 40);
    }
    for (uint32_t batch_rows : {7u, 64u, 512u}) {
      CAPTURE(batch_rows);
      Run run(host, engine_config(uint64_t{64} << 20, batch_rows));
      for (int i = 5; i >= 0; --i) run.add(script_of(policy, std::to_string(i), 30 + 37 * i, 40));
      run.finished.wait_for(6);
      for (int i = 0; i < 6; ++i) CHECK(run.finished.of(std::to_string(i)).segments.at(0).tokens == alone[i]);
    }
  }
}

TEST_CASE("engine - layers decided at once are decided as one after the other") {
  TinyHost host;
  for (const BudgetScope scope : {BudgetScope::head, BudgetScope::layer, BudgetScope::global}) {
    for (const char* id : {"h2o", "keydiff", "full"}) {  // mass, what is cached, nothing
      CAPTURE(id);
      CAPTURE(scope);
      PolicySettings& policy = host.policy(id);
      policy.budget = slots(40);
      policy.chunk = 32;
      policy.scope = scope;
      std::vector<std::shared_ptr<const SessionScript>> scripts;
      for (int i = 0; i < 4; ++i) scripts.push_back(script_of(policy, std::to_string(i), 60 + 37 * i, 24));
      Run serial(host);
      submit(serial.engine, serial.finished, scripts);
      serial.finished.wait_for(scripts.size());
      Crowd crowd;
      EngineConfig config = engine_config();
      config.executor = crowd.executor();
      Run at_once(host, config);
      submit(at_once.engine, at_once.finished, scripts);
      at_once.finished.wait_for(scripts.size());
      CHECK((crowd.n_regions > 0) == policy.layers_at_once());
      for (int i = 0; i < 4; ++i) {
        const SessionResult& expected = serial.finished.of(std::to_string(i));
        const SessionResult& got = at_once.finished.of(std::to_string(i));
        CHECK_FALSE(got.error);
        CHECK(got.released == expected.released);
        CHECK(got.segments.at(0).tokens == expected.segments.at(0).tokens);
      }
    }
  }
}

TEST_CASE("engine - requests are admitted in the order of their submission") {
  TinyHost host;
  const PolicySettings& full = host.policy("full");
  EngineConfig config = engine_config();
  config.in_flight = 1;
  Run run(host, config);
  for (int i = 0; i < 8; ++i) run.add(script_of(full, std::to_string(i), 10, i % 2 == 0 ? 12 : 1));
  run.finished.wait_for(8);
  CHECK(run.finished.order() == std::vector<std::string>{"0", "1", "2", "3", "4", "5", "6", "7"});
}

TEST_CASE("engine - in_flight bounds how many run at one time") {
  TinyHost host;
  const PolicySettings& full = host.policy("full");
  EngineConfig config = engine_config();
  config.in_flight = 2;
  Run run(host, config);
  Gate gate;
  const auto held = script_of(full, "held", 10, 4);
  gate.hold(*held);
  run.add(held);
  for (int i = 0; i < 5; ++i) run.add(script_of(full, std::to_string(i), 10, 2));
  gate.reached.get_future().wait();
  CHECK(run.engine.figures().n_active <= 2);
  gate.opened.set_value();
  run.finished.wait_for(6);
  for (const char* id : {"0", "4"}) CHECK_FALSE(run.finished.of(id).error);
}

TEST_CASE("engine - who does not fit beside the others waits, in order, and then runs") {
  TinyHost host;
  const PolicySettings& full = host.policy("full");
  Run run(host, engine_config(memory_for(host, 128, 2)));  // two of them
  for (int i = 0; i < 7; ++i) run.add(script_of(full, std::to_string(i), 100, 20));
  run.finished.wait_for(7);
  for (int i = 0; i < 7; ++i) CHECK_FALSE(run.finished.of(std::to_string(i)).error);
  CHECK(run.engine.figures().kv_peak_bytes <= memory_for(host, 128, 2));
  // Equal lengths: nobody who came later ends before somebody of an earlier pair.
  const std::vector<std::string> order = run.finished.order();
  for (size_t i = 0; i < order.size(); ++i) CHECK(std::abs(std::stoi(order[i]) - static_cast<int>(i)) <= 1);
}

TEST_CASE("engine - sessions with a budget run together where half as many whole ones fit") {
  TinyHost host;
  constexpr uint32_t n_sessions = 16, n_prompt = 320, n_answer = 60;
  // With 256 rows a pass all prompts are fed in 21 passes or so: the first answer, of 60 tokens, is still running then.
  EngineConfig config = engine_config(memory_for(host, n_prompt + n_answer, n_sessions / 2), 256);
  for (const char* id : {"full", "h2o"}) {
    CAPTURE(id);
    PolicySettings& policy = host.policy(id);
    policy.budget = slots(n_prompt / 8);
    policy.chunk = 32;
    std::vector<std::shared_ptr<const SessionScript>> scripts;
    for (uint32_t i = 0; i < n_sessions; ++i) scripts.push_back(script_of(policy, std::to_string(i), n_prompt, n_answer));
    Run run(host, config);
    submit(run.engine, run.finished, scripts);
    run.finished.wait_for(n_sessions);
    const EngineFigures figures = run.engine.figures();
    CHECK(figures.n_active_peak == (std::string(id) == "full" ? n_sessions / 2 : n_sessions));
    CHECK(figures.kv_peak_bytes <= config.memory);
    run.engine.forget_peaks();
    CHECK(run.engine.figures().n_active_peak == 0);
    CHECK(run.engine.figures().kv_peak_bytes == 0);
  }
}

TEST_CASE("engine - a request that can never fit gets a memory row with both numbers, the others run") {
  TinyHost host;
  const PolicySettings& full = host.policy("full");
  const uint64_t memory = memory_for(host, 128, 1);
  Run run(host, engine_config(memory));
  run.add(script_of(full, "large", 400, 20));
  run.add(script_of(full, "small", 40, 20));
  run.finished.wait_for(2);
  const SessionResult& large = run.finished.of("large");
  REQUIRE(large.error);
  CHECK(large.error->code == RowCode::memory);
  CHECK(large.error->message.find(std::to_string(memory)) != std::string::npos);
  CHECK(large.error->message.find(std::to_string(memory_for(host, 420, 1))) != std::string::npos);
  CHECK_FALSE(run.finished.of("small").error);
}

TEST_CASE("engine - with more answers running than a batch has rows, all come to their end together") {
  TinyHost host;
  const PolicySettings& full = host.policy("full");
  std::vector<size_t> n_tokens(12, 0);  // of each answer so far; the engine's thread writes them
  size_t slowest = 0;                   // the shortest answer when the first one was whole
  std::vector<std::shared_ptr<const SessionScript>> scripts;
  for (size_t i = 0; i < n_tokens.size(); ++i) {
    const auto script = script_of(full, std::to_string(i), 3, 60);
    script->on_logits = [&n_tokens, &slowest, i](std::span<const float>) {
      if (++n_tokens[i] == 60 && slowest == 0) slowest = *std::min_element(n_tokens.begin(), n_tokens.end());
    };
    scripts.push_back(script);
  }
  Run run(host, engine_config(uint64_t{64} << 20, 4));
  submit(run.engine, run.finished, scripts);
  run.finished.wait_for(12);
  CHECK(n_tokens == std::vector<size_t>(12, 60));
  // Served in turns: when the first one ends, the others are near (later prompts were fed meanwhile). One after the other
  // the last would not have begun.
  CHECK(slowest > 30);
}

TEST_CASE("engine - a time limit ends a request with what it is, not its neighbour") {
  TinyHost host;
  const PolicySettings& full = host.policy("full");
  Run run(host);
  const auto slow = script_of(full, "slow", 20, 400);
  slow->time_limit = std::chrono::milliseconds(30);
  slow->on_text = [](const std::string&) { std::this_thread::sleep_for(std::chrono::milliseconds(1)); };
  run.add(slow);
  run.add(script_of(full, "other", 20, 10));
  run.finished.wait_for(2);
  REQUIRE(run.finished.of("slow").error);
  CHECK(run.finished.of("slow").error->code == RowCode::time_limit);
  CHECK_FALSE(run.finished.of("other").error);
  CHECK(run.engine.figures().kv_bytes == 0);
}

TEST_CASE("engine - after abandon nobody is called, and submit is ignored") {
  TinyHost host;
  const PolicySettings& full = host.policy("full");
  for (int round = 0; round < 30; ++round) {
    Run run(host, engine_config(memory_for(host, 128, 2)));
    for (int i = 0; i < 6; ++i) run.add(script_of(full, std::to_string(i), 1 + round % 4, 1));
    if (round % 3 == 1) std::this_thread::sleep_for(std::chrono::microseconds(50 * round));
    run.engine.abandon();
    const size_t n = run.finished.n();
    run.add(script_of(full, "late", 4, 1));
    if (round % 10 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    CHECK(run.finished.n() == n);
    CHECK(run.engine.figures().n_active == 0);
    CHECK(run.engine.figures().n_waiting == 0);
  }
}

TEST_CASE("engine - abandon waits for what the thread is in the middle of") {
  TinyHost host;
  const PolicySettings& full = host.policy("full");
  std::atomic<int> n_called{0};
  Run run(host, engine_config(memory_for(host, 64, 1)));
  for (int i = 0; i < 40; ++i) {  // none fits: all are refused while they are admitted
    auto job = std::make_unique<Job>();
    job->script = script_of(full, "large", 200, 1);
    job->on_done = [&](SessionResult&&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      ++n_called;
    };
    run.engine.submit(std::move(job));
  }
  while (n_called == 0) std::this_thread::yield();
  run.engine.abandon();
  const int n = n_called;
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  CHECK(n_called == n);
}

TEST_CASE("engine - forks of a request give what each would give alone, in the order of the script") {
  TinyHost host;
  for (const char* id : {"full", "h2o"}) {
    CAPTURE(id);
    PolicySettings& policy = host.policy(id);
    policy.budget = slots(48);
    policy.chunk = 32;
    const auto with_questions = [&](const std::vector<uint64_t>& seeds) {
      auto script = script_of(policy, "q", 200, 0);
      for (uint64_t seed : seeds) {
        script->segments.push_back({.ids = some_ids(12, seed),
                                    .generate = 10,
                                    .score = {},
                                    .fork = true,
                                    .label = "",
                                    .answers = {}});
      }
      return script;
    };
    for (const uint64_t memory : {uint64_t{64} << 20, memory_for(host, 320, 2)}) {
      const SessionResult all = run_alone(host, engine_config(memory), with_questions({7, 8, 9, 10, 11}));
      REQUIRE_FALSE(all.error);
      REQUIRE(all.segments.size() == 6);
      for (uint64_t i = 0; i < 5; ++i) {
        const SessionResult one = run_alone(host, engine_config(memory), with_questions({7 + i}));
        CHECK(all.segments[1 + i].index == 1 + i);
        CHECK(all.segments[1 + i].tokens == one.segments.at(1).tokens);
      }
    }
  }
}

TEST_CASE("engine - figures count what was fed and generated") {
  TinyHost host;
  const PolicySettings& full = host.policy("full");
  Run run(host);
  run.add(script_of(full, "a", 100, 5));
  run.add(script_of(full, "b", 50, 1));
  run.finished.wait_for(2);
  CHECK(run.engine.figures().n_prefilled == 150);
  CHECK(run.engine.figures().n_decoded == 4);  // the last token of an answer is not fed
  CHECK(run.finished.of("a").full_bytes == memory_for(host, 105, 1));
  CHECK(run.finished.of("a").n_generated == 5);
}

TEST_CASE("engine - one sequence's broken policy ends that request only") {
  TinyHost host;
  for (bool full_on_error : {false, true}) {
    CAPTURE(full_on_error);
    PolicySettings& faulty =
        host.policy("faulty", {{"fault", std::string("keep_too_many")}, {"after_tokens", int64_t{100}}});
    faulty.budget = slots(32);
    faulty.chunk = 32;
    faulty.full_on_error = full_on_error;
    Run run(host);
    run.add(script_of(faulty, "long", 150, 8));
    run.add(script_of(faulty, "short", 60, 8));
    run.finished.wait_for(2);
    CHECK_FALSE(run.finished.of("short").error);
    const SessionResult& result = run.finished.of("long");
    REQUIRE(result.error);
    CHECK(result.error->code == RowCode::bad_plan);
    CHECK(result.error->plugin == "faulty");
    CHECK(result.policy_dropped == full_on_error);
    CHECK(result.segments.at(0).tokens.size() == (full_on_error ? 8 : 0));
  }
}

}  // namespace tenure::test
