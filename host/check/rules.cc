#include "check/rules.h"

#include <algorithm>

namespace tenure {
namespace {

constexpr RuleInfo table[] = {
    {Rule::load, "load", "loads, and is what its manifest says", true},
    {Rule::needs, "needs", "needs() narrows what the manifest declares"},
    {Rule::create, "create", "is created and destroyed with its defaults", true},
    {Rule::runs, "runs", "lives through a prompt and an answer", true},
    {Rule::phases, "phases", "decides in every phase, position mode and budget scope"},
    {Rule::verbs, "verbs", "calls score, keep and rebuild where they belong"},
    {Rule::finite_scores, "finite_scores", "scores every slot with a finite number"},
    {Rule::kept_in_range, "kept_in_range", "keeps slots that are there"},
    {Rule::kept_ascending, "kept_ascending", "names kept slots once, in ascending order"},
    {Rule::protected_slots, "protected", "keeps what the host protects"},
    {Rule::budget, "budget", "keeps no more than the budget"},
    {Rule::rebuild, "rebuild", "rebuilds released positions, no more than allowed"},
    {Rule::edge_prompts, "edge_prompts", "takes prompts that are empty, of one token, exactly the budget"},
    {Rule::deterministic, "deterministic", "decides the same with the same seed", true},
    {Rule::interleaved, "interleaved", "decides beside other sequences as it does alone", true},
    {Rule::chunk_invariant, "chunk_invariant", "keeps the same of a prompt however it is cut"},
    {Rule::forked, "forked", "decides in a fork as in a sequence of its own"},
    {Rule::layers, "layers", "decides the same however its layers are shared among threads"},
    {Rule::bad_evidence, "bad_evidence", "reports NaN and infinity in its evidence, and keeps none"},
    {Rule::windows, "windows", "decides where some layers see only a window and are not asked about"},
    {Rule::parameters, "parameters", "runs at the ends of its parameters' ranges"},
    {Rule::leaks, "leaks", "gives back what sequences and policies took"},
    {Rule::heap, "heap", "keeps a heap that does not grow with the tokens"},
};

}  // namespace

std::span<const RuleInfo> rules() {
  return table;
}

const RuleInfo& info(Rule rule) {
  return *std::find_if(std::begin(table), std::end(table),
                       [&](const RuleInfo& info) { return info.rule == rule; });
}

std::optional<Rule> rule_of(std::string_view id) {
  for (const RuleInfo& info : table) {
    if (info.id == id) return info.rule;
  }
  return std::nullopt;
}

}  // namespace tenure
