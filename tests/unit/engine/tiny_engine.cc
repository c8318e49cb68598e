#include "unit/engine/tiny_engine.h"

#include <chrono>

#include "sampler/random.h"

namespace tenure::test {

void Finished::add(const std::string& id, SessionResult&& result) {
  const std::lock_guard lock(mutex_);
  order_.push_back(id);
  results_[id] = std::move(result);
  changed_.notify_all();
}

void Finished::wait_for(size_t n) {
  std::unique_lock lock(mutex_);
  REQUIRE(changed_.wait_for(lock, std::chrono::seconds(60), [&] { return order_.size() >= n; }));
}

size_t Finished::n() const {
  const std::lock_guard lock(mutex_);
  return order_.size();
}

std::vector<std::string> Finished::order() const {
  const std::lock_guard lock(mutex_);
  return order_;
}

const SessionResult& Finished::of(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  return results_.at(id);
}

std::shared_ptr<SessionScript> script_of(const PolicySettings& policy, const std::string& id,
                                         uint32_t n_prompt, uint32_t n_answer) {
  auto script = std::make_shared<SessionScript>();
  script->id = id;
  script->key = seed_key(0, id, "", 0);
  script->policy = &policy;
  script->ignore_eos = true;
  script->segments.resize(1);
  script->segments[0].ids = some_ids(n_prompt, std::hash<std::string>{}(id));
  script->segments[0].generate = n_answer;
  return script;
}

void submit(Engine& engine, Finished& finished, std::shared_ptr<const SessionScript> script) {
  submit(engine, finished, std::vector{std::move(script)});
}

void submit(Engine& engine, Finished& finished, const std::vector<std::shared_ptr<const SessionScript>>& scripts) {
  std::vector<std::unique_ptr<Job>> jobs;
  for (const std::shared_ptr<const SessionScript>& script : scripts) {
    auto job = std::make_unique<Job>();
    job->script = script;
    job->on_done = [&finished, script](SessionResult&& result) { finished.add(script->id, std::move(result)); };
    jobs.push_back(std::move(job));
  }
  engine.submit(std::move(jobs));
}

SessionResult run_alone(TinyHost& host, const EngineConfig& config,
                        std::shared_ptr<const SessionScript> script) {
  Finished finished;
  Engine engine(host.model(), host.backend(), host.language().tokenizer(), config);
  submit(engine, finished, script);
  finished.wait_for(1);
  return finished.of(script->id);
}

EngineConfig engine_config(uint64_t memory, uint32_t batch_rows) {
  return {.batch_rows = batch_rows, .in_flight = 0, .memory = memory, .max_rebuild_rows = 32};
}

}  // namespace tenure::test
