// After a forward: policies observe what it left behind and select, for all sequences of one policy at one kind of
// decision together; then what they released goes. Called on the engine's thread; layers are shared among the executor's
// workers where the policy allows it.
#pragma once

#include <deque>
#include <span>
#include <vector>

#include "plugin/host_services.h"
#include "session/layer_decision.h"
#include "session/session.h"

namespace tenure {

class Decisions {
 public:
  // What `executor` points to, and the backend, outlive it.
  explicit Decisions(Backend& backend, const Executor& executor = serial_executor());

  // `sessions` share one PolicySettings and one DecisionPoint. A session whose policy breaks a rule fails (or goes on with
  // the full cache); the others are not touched by it.
  void run(std::span<Session* const> sessions);

 private:
  void decide_layers();
  void decide(uint32_t layer, const CachedRows* cached, LayerDecision& worker) const;
  void read_cache(std::span<const uint32_t> layers);
  void gather_failures();

  Backend& backend_;
  Executor executor_;
  std::deque<LayerDecision> workers_;  // (executor's workers)
  DecisionCall decision_;
  bool all_choose_ = false;  // one choice for all layers
  // Kept between calls so that a step allocates nothing.
  std::vector<uint8_t> due_;
  std::vector<uint32_t> layers_;
  std::vector<CachedRows> cached_rows_;  // of the layers that are decided at once
  std::vector<float> cached_;
  std::vector<tenure_kv_read> reads_;
  std::vector<PolicyFailure> failures_;
};

}  // namespace tenure
