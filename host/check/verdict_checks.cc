// What a policy says, in every phase, position mode and budget scope it declares.
#include <fmt/format.h>

#include <algorithm>

#include "check/checks.h"
#include "error/error.h"

namespace tenure {
namespace {

template <typename E>
std::string list_of(E value) {
  return fmt::format("[\"{}\"]", name_of(value));
}

// Each asks for one thing that the usual variant does not.
std::vector<Variant> variants_of(const PluginManifest& manifest) {
  std::vector<Variant> variants = {usual_variant()};
  for (const char* scope : {"head", "layer", "global"})
    variants.push_back(usual_variant({{"budget_scope", fmt::format("\"{}\"", scope)}}));
  for (const Phase phase : manifest.needs.phases) {
    for (const PositionMode mode : manifest.needs.positions) {
      Keys keys = {{"when", list_of(phase)}, {"positions", fmt::format("\"{}\"", name_of(mode))}};
      // Short answers: a policy whose own period is longer than they are decides in them too.
      if (phase == Phase::decode) keys.emplace_back("period", "2");
      variants.push_back(usual_variant(std::move(keys)));
    }
  }
  variants.push_back(
      usual_variant({{"n_sink", "3"}, {"n_recent", "5"}, {"n_stabilizers", "2"}, {"n_local", "2"}}));
  variants.push_back(usual_variant({{"budget", "1"}}));
  variants.push_back(usual_variant({{"period", "4"}, {"slack", "3"}}));
  return variants;
}

// Nothing: refused with a reason before anything ran, so it does not claim to work like this.
std::optional<LoadedPolicy> load_if_combined(Subject& subject, const Variant& variant) {
  try {
    return subject.load(variant);
  } catch (const Error& error) {
    if (error.code() != Code::unsupported_combination) throw;
    return std::nullopt;
  }
}

// Three prompts at a time, longer and shorter than the budget; the second has two turns.
std::vector<SessionScript> scripts_of(const Subject& subject, const LoadedPolicy& policy) {
  return {subject.script(policy, 1, 100, 12),
          subject.script(
              policy, 2,
              {{.ids = subject.tokens(2, 40), .generate = 6}, {.ids = subject.tokens(3, 33), .generate = 6}}),
          subject.script(policy, 4, 20, 30)};
}

}  // namespace

Verdict check_runs(Subject& subject) {
  const LoadedPolicy policy = subject.load(usual_variant());
  const std::vector<SessionResult> results = subject.run({subject.script(policy, 1, 100, 12)});
  if (const auto stop = trouble(policy, results)) return *stop;
  return Verdict::ok(fmt::format("{} tokens fed, {} generated, {} slots released", results[0].n_fed,
                                 results[0].n_generated, results[0].released));
}

Verdict check_verdicts(Subject& subject, Rule rule) {
  if (rule == Rule::rebuild && !subject.manifest().needs.rebuild)
    return Verdict::skipped("its manifest does not say rebuild");
  uint64_t n_decisions = 0;
  uint32_t n_variants = 0;
  std::optional<Verdict> stop;
  for (const Variant& variant : variants_of(subject.manifest())) {
    const std::optional<LoadedPolicy> policy = load_if_combined(subject, variant);
    if (!policy) continue;
    const std::vector<SessionResult> results = subject.run(scripts_of(subject, *policy));
    if (policy->referee->was_unsupported()) continue;
    const std::vector<Breach>& breaches = policy->referee->breaches();
    const auto own = std::find_if(breaches.begin(), breaches.end(),
                                  [&](const Breach& breach) { return breach.rule == rule; });
    if (own != breaches.end()) return Verdict::failed(fmt::format("{} ({})", own->text, variant.text()));
    if (const auto found = trouble(*policy, results); found && !stop) {
      stop = *found;
      stop->text += fmt::format(" ({})", variant.text());
    }
    n_decisions += policy->referee->n_decisions();
    ++n_variants;
  }
  if (stop) return *stop;
  if (n_decisions == 0) return Verdict::failed("was over its budget and never asked");
  return Verdict::ok(fmt::format("{} verdicts in {} variants", n_decisions, n_variants));
}

Verdict check_phases(Subject& subject) {
  uint32_t n_tried = 0, n_refused = 0;
  for (const Variant& variant : variants_of(subject.manifest())) {
    const std::optional<LoadedPolicy> policy = load_if_combined(subject, variant);
    if (!policy) {
      ++n_refused;
      continue;
    }
    // The prompt is over the budget, and the answer longer than any slack of ours.
    const std::vector<SessionResult> results = subject.run({subject.script(*policy, 1, 100, 40)});
    if (policy->referee->was_unsupported()) {
      ++n_refused;
      continue;
    }
    if (auto stop = trouble(*policy, results)) {
      stop->text += fmt::format(" ({})", variant.text());
      return *stop;
    }
    if (results[0].released == 0)
      return Verdict::failed(fmt::format("released nothing ({})", variant.text()));
    ++n_tried;
  }
  if (n_tried == 0) return Verdict::failed("refuses every phase, position mode and budget scope");
  return Verdict::ok(fmt::format("{} variants{}", n_tried,
                                 n_refused > 0 ? fmt::format(", {} refused as unsupported", n_refused) : ""));
}

}  // namespace tenure
