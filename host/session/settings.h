// A policy as a session uses it: the loaded plugin and the host keys of docs/pipelines.md, already converted.
#pragma once

#include <cstdint>
#include <string>

#include "cache/selection.h"
#include "manifest/host_keys.h"
#include "plugin/policy.h"

namespace tenure {

struct PolicySettings {
  std::string name;                // the pipeline's name for it
  const Policy* policy = nullptr;  // outlives every session
  const Policy* inner = nullptr;   // whose scores it wraps: its hooks come first; outlives every session too
  uint32_t granularity = TENURE_GRANULARITY_KV_HEAD;
  uint32_t chunk = 256;
  Budget budget;
  BudgetScope scope = BudgetScope::head;
  double floor = 0.2;
  BudgetOf budget_of = BudgetOf::end;
  Dtype k_type = Dtype::f16;
  Dtype v_type = Dtype::f16;
  PositionMode positions = PositionMode::original;
  uint32_t when = 0;  // TENURE_PHASE_* bits
  uint32_t period = 1;
  uint32_t slack = 0;
  SlotShare n_sink, n_recent, n_stabilizers, n_local;
  uint32_t query_prefix = 0;   // last tokens of a prompt that are fed in front of it, too
  bool full_on_error = false;  // on_plugin_error = "full"

  // Hooks of both may be called for several layers at once.
  bool layers_at_once() const;
  // Of both. State of a kind belongs to one of them at most (why_not_wrap).
  PolicyNeeds needs() const;
};

// Why `outer` cannot wrap `inner`; empty when it can.
std::string why_not_wrap(const Policy& outer, const Policy& inner);

// What one session makes of them; fixed when it begins.
struct SessionBudget {
  bool bounded = false;
  uint32_t slots = 0;  // mean per layer and KV head after a decision; chunk and rebuilt rows come on top
  Protection protection;
  bool rank_positions = false;
  // Of one KV head where ranks must stay within the model's context; no less than `slots`, which is the user's word.
  uint32_t most_slots = UINT32_MAX;
};

// n_fed: tokens the request feeds; n_total: with max_new_tokens; slot_bytes: one slot in every KV head that a policy decides on.
SessionBudget session_budget(const PolicySettings& settings, uint64_t n_fed, uint64_t n_total, uint64_t slot_bytes,
                             uint32_t n_ctx, uint32_t max_rebuild_rows);

}  // namespace tenure
