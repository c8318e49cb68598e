#include "check/checks.h"

#include <fmt/format.h>

#include "error/error.h"

namespace tenure {

Variant usual_variant(Keys more) {
  Variant variant{.keys = {{"chunk", "16"}, {"budget", "24"}}};
  for (auto& key : more) {
    std::erase_if(variant.keys, [&](const auto& usual) { return usual.first == key.first; });
    variant.keys.push_back(std::move(key));
  }
  return variant;
}

std::optional<Verdict> trouble(const LoadedPolicy& policy, const std::vector<SessionResult>& results) {
  if (!policy.referee->breaches().empty()) {
    const Breach& first = policy.referee->breaches().front();
    return Verdict::stopped(first.rule, first.text);
  }
  for (const SessionResult& result : results) {
    if (!result.error) continue;
    // The verbs were in order, so what the host refused is that nothing was said.
    const Rule rule = result.error->code == RowCode::bad_plan ? Rule::budget : Rule::runs;
    return Verdict::stopped(rule, result.error->message);
  }
  return std::nullopt;
}

namespace {

// A library alone: mapping it, its entry, its init and its table.
Verdict check_load(const SubjectSource& source) {
  const Library library(source.plugin, HostLoan{.log = source.log});
  if (library.manifest().kind == PluginKind::policy) Policy::require_table(library);
  return Verdict::ok(
      fmt::format("ABI minor {}, sha256 {}", library.agreed_minor(), library.sha256().substr(0, 16)));
}

Verdict dispatch(SubjectSource source, Rule rule) {
  if (rule == Rule::load) return check_load(source);
  if (rule == Rule::windows) source.model = source.windowed_model;
  if (rule == Rule::layers) source.threads = 4;
  Subject subject(std::move(source));
  if (subject.is_backend()) {
    if (rule == Rule::deterministic) return check_deterministic(subject);
    if (rule == Rule::interleaved) return check_interleaved(subject);
    return rule == Rule::create ? check_create(subject) : check_runs(subject);
  }
  switch (rule) {
    case Rule::needs:
      return check_needs(subject);
    case Rule::create:
      return check_create(subject);
    case Rule::runs:
      return check_runs(subject);
    case Rule::parameters:
      return check_parameters(subject);
    case Rule::leaks:
      return check_leaks(subject);
    default:
      break;
  }
  if (!subject.ever_decides()) return Verdict::skipped("its manifest names no phase: it never decides");
  switch (rule) {
    case Rule::phases:
      return check_phases(subject);
    case Rule::edge_prompts:
      return check_edge_prompts(subject);
    case Rule::deterministic:
      return check_deterministic(subject);
    case Rule::chunk_invariant:
      return check_chunk_invariant(subject);
    case Rule::interleaved:
      return check_interleaved(subject);
    case Rule::forked:
      return check_forked(subject);
    case Rule::layers:
      return check_layers(subject);
    case Rule::bad_evidence:
      return check_bad_evidence(subject);
    case Rule::windows:
      return check_windows(subject);
    case Rule::heap:
      return check_heap(subject);
    default:
      return check_verdicts(subject, rule);
  }
}

// What it means that a plugin could not be had.
Verdict refused(const Error& error, Rule rule) {
  const std::string text = error.diagnostics().front().text;
  switch (error.code()) {
    case Code::backend_unsupported:
    case Code::plugin_refused:
    case Code::plugin_load:
    case Code::plugin_symbol:
    case Code::plugin_hash:
    case Code::plugin_unsafe_file:
    case Code::plugin_manifest:
    case Code::plugin_not_found:
    case Code::unsupported_combination:
      return {.outcome = Outcome::unavailable, .text = text};
    case Code::weights_unfit:
      // Who gives a file gives it for the first model.
      if (rule == Rule::windows) return Verdict::skipped(text);
      return {.outcome = Outcome::unavailable, .text = text};
    case Code::plugin_abi:
      // needs() is the only hook with this code.
      if (rule == Rule::load) return {.outcome = Outcome::unavailable, .text = text};
      return Verdict::stopped(Rule::needs, text);
    case Code::plugin_failed:
      return Verdict::stopped(rule == Rule::load ? Rule::load : Rule::create, text);
    default:
      throw error;
  }
}

}  // namespace

void validate(const SubjectSource& source) {
  Subject(source).plan_of(usual_variant());
}

Verdict run_check(const SubjectSource& source, Rule rule) {
  Verdict verdict;
  try {
    verdict = dispatch(source, rule);
  } catch (const Error& error) {
    verdict = refused(error, rule);
  }
  if (verdict.outcome != Outcome::stopped) return verdict;
  // A hook's failure is that of what was tried; verdicts are judged in the variants that `phases` tried
  // first.
  const bool judges_verdicts = rule >= Rule::verbs && rule <= Rule::rebuild;
  if (verdict.by == Rule::runs && rule > Rule::runs) verdict.by = judges_verdicts ? Rule::phases : rule;
  if (verdict.by == rule) verdict.outcome = Outcome::failed;
  return verdict;
}

}  // namespace tenure
