// One worker's part of a decision, a layer at a time: protections, what the policy observes and selects, and which slots
// go. Workers have one each, so that layers can be decided at once.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "cache/selection.h"
#include "session/policy_seat.h"
#include "session/session.h"

namespace tenure {

// Keys and values that the cache holds for one layer, read for the policy.
struct CachedRows {
  Status status;                  // of reading them
  std::vector<const float*> k, v;  // of the sessions that are due, in order, every head's: (n_slots, head_dim), or NULL
};

// What is the same for every layer. Read by several threads.
struct DecisionCall {
  tenure_call call{};
  const PolicySettings* policy = nullptr;
  PolicyNeeds needs;                   // the policy's and what it wraps
  std::span<Session* const> sessions;  // all that observe
  std::span<const uint8_t> due;        // (sessions) 1: over its budget, so that slots have to go

  bool has_mass() const { return (needs.evidence & TENURE_EVIDENCE_ATTENTION_MASS) != 0; }
  bool has_cached() const { return (needs.evidence & cached_evidence) != 0; }
  bool any_due() const;
};

struct PolicyFailure {
  size_t session = 0;  // of DecisionCall
  uint32_t layer = 0;
  const Policy* of = nullptr;
  Status status;
};

class LayerDecision {
 public:
  LayerDecision() = default;
  LayerDecision(const LayerDecision&) = delete;
  LayerDecision& operator=(const LayerDecision&) = delete;

  void begin(const DecisionCall& decision);
  // `layer` may be TENURE_ALL_LAYERS in both. A session whose policy fails in one is left out of the rest of that layer;
  // nothing of it is released there.
  void observe(uint32_t layer, const CachedRows* cached);
  // Of the sessions that are due. Slots are released from the side arrays; KvCache::settle() is the caller's.
  void select(uint32_t layer);
  // After both: attention mass counts from zero again.
  void forget_mass(uint32_t layer);
  std::span<const PolicyFailure> failures() const { return failures_; }

 private:
  struct Seat : PolicySeat {
    bool failed = false;  // in this layer
  };

  bool may_choose(size_t session) const { return decision_->due[session] != 0 && !seats_[session].failed; }
  void mark(Session& session, uint32_t layer) const;
  void observe(const Policy& policy, uint32_t layer, const CachedRows* cached);
  void select(const Policy& policy, uint32_t layer);
  void close(const Policy& policy, uint32_t layer, const char* hook, const Status& call);
  void fail(size_t session, uint32_t layer, const Policy& of, Status status);
  void choose(size_t session, uint32_t layer, bool compact);
  bool release_worst(const Session& session, const DecidedTables& tables);
  std::span<const KeptSlots> rank(const Session& session, const DecidedTables& tables);

  const DecisionCall* decision_ = nullptr;
  std::deque<Seat> seats_;
  std::vector<PolicyFailure> failures_;
  // Of one call. All are kept between calls, so that a step allocates nothing.
  std::vector<size_t> called_;  // sessions
  std::vector<const tenure_evidence*> evidence_;
  std::vector<const tenure_view*> views_;
  std::vector<tenure_keepset*> keepsets_;
  std::vector<tenure_status> statuses_;
  std::vector<KeptSlots> keep_;
  std::vector<uint32_t> worst_;
  std::vector<const SlotTable*> tables_;
  Selection selection_;
};

// Slots that count against the budget; flags are looked through only where a slot can be rebuilt.
uint32_t n_counted(const SlotTable& table, bool may_rebuild);

}  // namespace tenure
