// An engine on a tiny host, and requests put through it from the test's thread.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "unit/session/tiny_host.h"

namespace tenure::test {

// Who finished, in which order.
class Finished {
 public:
  void add(const std::string& id, SessionResult&& result);
  void wait_for(size_t n);
  size_t n() const;
  std::vector<std::string> order() const;
  const SessionResult& of(const std::string& id) const;  // after it finished

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> order_;
  std::map<std::string, SessionResult> results_;
};

std::shared_ptr<SessionScript> script_of(const PolicySettings& policy, const std::string& id,
                                         uint32_t n_prompt, uint32_t n_answer);
void submit(Engine& engine, Finished& finished, std::shared_ptr<const SessionScript> script);
// All at once: none begins before the last is there.
void submit(Engine& engine, Finished& finished, const std::vector<std::shared_ptr<const SessionScript>>& scripts);
// Alone in an engine of its own.
SessionResult run_alone(TinyHost& host, const EngineConfig& config,
                        std::shared_ptr<const SessionScript> script);
EngineConfig engine_config(uint64_t memory = uint64_t{64} << 20, uint32_t batch_rows = 64);

}  // namespace tenure::test
