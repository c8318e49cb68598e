// After a forward: policies observe what it left behind and select, for all sequences of one policy at one kind of
// decision together; then kept sets are applied. Engine's thread only.
#pragma once

#include <span>
#include <vector>

#include "cache/selection.h"
#include "session/session.h"
#include "session/views.h"

namespace tenure {

class Decisions {
 public:
  explicit Decisions(Backend& backend) : backend_(backend) {}

  // `sessions` share one PolicySettings and one DecisionPoint. A session whose policy breaks a rule fails (or goes on with
  // the full cache); the others are not touched by it.
  void run(std::span<Session* const> sessions);

 private:
  static void mark(Session& session, uint32_t layer, bool prompt_end);
  void observe(std::span<Session* const> sessions, const tenure_call& call, uint32_t layer);
  Status read_cache(uint32_t layer, uint32_t evidence);
  void observe(std::span<Session* const> sessions, const Policy& policy, const tenure_call& call, uint32_t layer, Status status);
  void select(std::span<Session* const> sessions, const tenure_call& call, uint32_t layer);
  void select(std::span<Session* const> sessions, const Policy& policy, const tenure_call& call, uint32_t layer);
  void choose(Session& session, uint32_t layer, bool compact);
  bool remove_worst(Session& session, uint32_t layer);
  static void keep_all(Session& session, uint32_t first_table, uint32_t n_tables);
  void settle(std::span<Session* const> sessions, const Policy& policy, const Status& status, const char* hook);

  Backend& backend_;
  // Keys and values of one layer of the sessions that are due, and where each head's begin.
  std::vector<float> cached_;
  std::vector<tenure_kv_read> reads_;
  std::vector<const float*> cached_k_, cached_v_;
  // Entry i belongs to sessions[i] of the call; kept between calls so that a step allocates nothing.
  std::vector<PolicyView> view_builders_;
  std::vector<tenure_evidence> evidence_;
  std::vector<const tenure_evidence*> evidence_list_;
  std::vector<const tenure_view*> views_;
  std::vector<tenure_keepset*> keepsets_;
  std::vector<tenure_status> statuses_;
  std::vector<Session*> due_;
  std::vector<KeptSlots> keep_;
  std::vector<uint32_t> worst_;
  std::vector<const SlotTable*> tables_;
  Selection selection_;
};

}  // namespace tenure
