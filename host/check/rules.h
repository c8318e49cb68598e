// What `tenure plugin check` holds a plugin to. An id is stable: scripts and waivers name it.
#pragma once

#include <optional>
#include <span>
#include <string_view>

namespace tenure {

enum class Rule {
  load,
  needs,
  create,
  runs,
  phases,
  verbs,
  finite_scores,
  kept_in_range,
  kept_ascending,
  protected_slots,
  budget,
  rebuild,
  edge_prompts,
  deterministic,
  interleaved,
  chunk_invariant,
  forked,
  layers,
  bad_evidence,
  windows,
  parameters,
  leaks,
  heap,
};

struct RuleInfo {
  Rule rule;
  std::string_view id;
  std::string_view promise;  // what a plugin that keeps the rule does
  bool of_backends = false;  // held to by backends too, in the small: they run a model, alone and together
};

// In the order in which they are checked.
std::span<const RuleInfo> rules();
const RuleInfo& info(Rule);
std::optional<Rule> rule_of(std::string_view id);

}  // namespace tenure
