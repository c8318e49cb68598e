// A policy's decisions compared with themselves: again, cut otherwise, beside others, in a fork, at the
// edges, on bad evidence.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "check/checks.h"
#include "plan/load.h"

namespace tenure {
namespace {

std::vector<SessionScript> crowd(const Subject& subject, const LoadedPolicy& policy) {
  return {subject.script(policy, 1, 100, 12), subject.script(policy, 2, 41, 20),
          subject.script(policy, 3, 75, 8), subject.script(policy, 4, 130, 4)};
}

std::string calls(const Trace& trace) {
  return trace.empty() ? "" : fmt::format(", {} calls", trace.size());
}

// Whether the answers or decisions differ, and where first.
std::optional<std::string> difference(const std::vector<SessionResult>& some,
                                      const std::vector<SessionResult>& others, const Trace& trace,
                                      const Trace& other_trace) {
  if (const auto occasion = first_difference(trace, other_trace)) return to_text(*occasion);
  for (size_t i = 0; i < some.size(); ++i) {
    if (some[i].released != others[i].released) {
      return fmt::format("sequence {} released {} slots and {}", i + 1, some[i].released, others[i].released);
    }
    for (size_t s = 0; s < some[i].segments.size() && s < others[i].segments.size(); ++s) {
      if (some[i].segments[s].tokens != others[i].segments[s].tokens)
        return fmt::format("the answer of sequence {}", i + 1);
    }
  }
  return std::nullopt;
}

Verdict alone_and_together(Subject& subject, const LoadedPolicy& policy) {
  const std::vector<SessionResult> alone = subject.run_alone(crowd(subject, policy));
  if (const auto stop = trouble(policy, alone)) return *stop;
  const Trace trace = policy.referee->take_trace();
  const std::vector<SessionResult> together = subject.run(crowd(subject, policy));
  if (const auto stop = trouble(policy, together)) return *stop;
  if (const auto at = difference(alone, together, trace, policy.referee->take_trace())) {
    return Verdict::failed("differs beside other sequences: " + *at);
  }
  return Verdict::ok(fmt::format("{} sequences{}", alone.size(), calls(trace)));
}

}  // namespace

Verdict check_deterministic(Subject& subject) {
  const LoadedPolicy first = subject.load(usual_variant());
  const std::vector<SessionResult> results = subject.run(crowd(subject, first));
  if (const auto stop = trouble(first, results)) return *stop;
  const Trace trace = first.referee->take_trace();
  const std::vector<SessionResult> again = subject.run(crowd(subject, first));
  if (const auto stop = trouble(first, again)) return *stop;
  if (const auto at = difference(results, again, trace, first.referee->take_trace())) {
    return Verdict::failed("the same policy decided otherwise when run again: " + *at);
  }
  const LoadedPolicy second = subject.load(usual_variant());
  const std::vector<SessionResult> anew = subject.run(crowd(subject, second));
  if (const auto stop = trouble(second, anew)) return *stop;
  if (const auto at = difference(results, anew, trace, second.referee->take_trace())) {
    return Verdict::failed("created anew it decided otherwise: " + *at);
  }
  return Verdict::ok(fmt::format("{} sequences{}, three times", results.size(), calls(trace)));
}

Verdict check_layers(Subject& subject) {
  if (subject.manifest().needs.concurrency != Concurrency::per_layer) {
    return Verdict::skipped("its manifest does not say concurrency = \"per-layer\"");
  }
  const LoadedPolicy unwatched = subject.load_unwatched(usual_variant());
  const std::vector<SessionResult> at_once = subject.run(crowd(subject, unwatched));
  for (const SessionResult& result : at_once) {
    if (result.error) return Verdict::failed("several layers at a time: " + result.error->message);
  }
  const LoadedPolicy watched = subject.load(usual_variant());
  const std::vector<SessionResult> in_turn = subject.run(crowd(subject, watched));
  if (const auto stop = trouble(watched, in_turn)) return *stop;
  if (const auto at = difference(at_once, in_turn, {}, {})) {
    return Verdict::failed("differs when layers are decided at a time: " + *at);
  }
  return Verdict::ok(fmt::format("{} sequences, layer by layer and on 4 threads", at_once.size()));
}

Verdict check_chunk_invariant(Subject& subject) {
  const PluginNeeds& needs = subject.manifest().needs;
  if (!needs.chunk_invariant) return Verdict::skipped("its manifest does not say chunk_invariant");
  if (std::find(needs.phases.begin(), needs.phases.end(), Phase::chunk) == needs.phases.end()) {
    return Verdict::skipped("it does not decide at chunks");
  }
  constexpr uint32_t n_first = 100, n_second = 8;
  Referee::HeldPositions expected;
  for (const char* chunk : {"100", "8", "16", "40"}) {
    const LoadedPolicy policy = subject.load(usual_variant({{"chunk", chunk}}));
    // What was kept of the first turn is seen when the second is decided on.
    policy.referee->note_held_at(n_first + n_second);
    const std::vector<SessionResult> results = subject.run({subject.script(
        policy, 1, {{.ids = subject.tokens(1, n_first)}, {.ids = subject.tokens(2, n_second)}})});
    if (const auto stop = trouble(policy, results)) return *stop;
    Referee::HeldPositions held = policy.referee->held();
    for (auto& [layer, heads] : held) {
      for (auto& head : heads)
        std::erase_if(head, [](int32_t pos) { return pos >= static_cast<int32_t>(n_first); });
    }
    if (held.empty()) return Verdict::failed("was over its budget and never asked");
    if (expected.empty()) expected = held;
    for (const auto& [layer, heads] : held) {
      for (size_t h = 0; h < heads.size(); ++h) {
        if (expected[layer][h] == heads[h]) continue;
        return Verdict::failed(
            fmt::format("of {} tokens head {} keeps [{}] with chunk = 100 and [{}] with chunk = {}", n_first,
                        h, fmt::join(expected[layer][h], " "), fmt::join(heads[h], " "), chunk));
      }
    }
  }
  return Verdict::ok("chunks of 8, 16, 40 and 100 tokens");
}

Verdict check_interleaved(Subject& subject) {
  return alone_and_together(subject, subject.load(usual_variant()));
}

// Layers with a window are trimmed by the host. A policy hears of the others only, so its first layer is not layer 0.
Verdict check_windows(Subject& subject) {
  if (subject.manifest().needs.rebuild)
    return Verdict::skipped("it rebuilds, which a model with windows does not allow");
  const LoadedPolicy policy = subject.load(usual_variant());
  const Verdict verdict = alone_and_together(subject, policy);
  if (verdict.outcome == Outcome::ok && policy.referee->n_decisions() == 0)
    return Verdict::failed("was over its budget and never asked");
  return verdict;
}

Verdict check_forked(Subject& subject) {
  const LoadedPolicy policy = subject.load(usual_variant());
  const SegmentScript trunk{.ids = subject.tokens(1, 50)};
  std::vector<SegmentScript> turns;
  for (uint32_t i = 0; i < 3; ++i) turns.push_back({.ids = subject.tokens(2 + i, 30), .generate = 8});
  std::vector<SessionScript> alone;
  for (const SegmentScript& turn : turns) alone.push_back(subject.script(policy, 1, {trunk, turn}));
  const std::vector<SessionResult> expected = subject.run_alone(alone);
  if (const auto stop = trouble(policy, expected)) return *stop;
  const Trace trace = policy.referee->take_trace();
  // The first two turns in forks; the trunk goes on with the third.
  turns[0].fork = turns[1].fork = true;
  const std::vector<SessionResult> forked =
      subject.run({subject.script(policy, 1, {trunk, turns[0], turns[1], turns[2]})});
  if (const auto stop = trouble(policy, forked)) return *stop;
  if (const auto occasion = first_difference(trace, policy.referee->take_trace())) {
    return Verdict::failed("differs where a sequence was forked: " + to_text(*occasion));
  }
  for (size_t i = 0; i < turns.size(); ++i) {
    if (expected[i].segments.back().tokens != forked[0].segments.at(i + 1).tokens) {
      return Verdict::failed(
          fmt::format("the answer of turn {} differs where the sequence was forked", i + 1));
    }
  }
  return Verdict::ok(fmt::format("two forks and their trunk, {} calls", trace.size()));
}

Verdict check_edge_prompts(Subject& subject) {
  const LoadedPolicy policy = subject.load(usual_variant());
  const std::vector<SessionResult> smallest =
      subject.run_alone({subject.script(policy, 1, 0, 0), subject.script(policy, 2, 1, 3)});
  if (const auto stop = trouble(policy, smallest)) return *stop;
  const uint32_t budget = smallest[1].budget_slots.value_or(0);
  if (smallest[1].released > 0)
    return Verdict::failed(fmt::format("a prompt of one token released {} slots", smallest[1].released));
  const std::vector<SessionResult> exact =
      subject.run_alone({subject.script(policy, 3, budget, 0), subject.script(policy, 4, budget - 1, 1)});
  if (const auto stop = trouble(policy, exact)) return *stop;
  for (const SessionResult& result : exact) {
    if (result.released > 0)
      return Verdict::failed(
          fmt::format("{} slots were released that fit the budget of {}", result.released, budget));
  }
  std::vector<SessionScript> others;
  for (const uint32_t n : {budget + 1, 15u, 16u, 17u, 32u})
    others.push_back(subject.script(policy, 5 + n, n, 2));
  if (const auto stop = trouble(policy, subject.run_alone(others))) return *stop;
  return Verdict::ok(
      fmt::format("prompts of 0, 1, {}, {} tokens; at and beside a chunk's end", budget, budget + 1));
}

// The request fails, or its state stays clean; either way its neighbours and those who come after do not
// notice.
Verdict check_bad_evidence(Subject& subject) {
  const auto neighbours = [&](const LoadedPolicy& policy) {
    return std::vector{subject.script(policy, 2, 41, 12), subject.script(policy, 3, 75, 8)};
  };
  const LoadedPolicy clean = subject.load(usual_variant());
  const std::vector<SessionResult> expected = subject.run_alone(neighbours(clean));
  if (const auto stop = trouble(clean, expected)) return *stop;
  const Trace trace = clean.referee->take_trace();
  uint32_t n_reported = 0;
  for (const float value :
       {std::nanf(""), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
    const LoadedPolicy policy = subject.load(usual_variant());
    policy.referee->spoil({.first_id = subject.tokens(1, 1)[0], .after_tokens = 40, .value = value});
    std::vector<SessionScript> scripts = neighbours(policy);
    scripts.push_back(subject.script(policy, 1, 100, 12));
    std::vector<SessionResult> results = subject.run(scripts);
    if (!policy.referee->has_spoilt()) return Verdict::skipped("it is handed no numbers that could be bad");
    const SessionResult spoilt = std::move(results.back());
    results.pop_back();
    if (const auto stop = trouble(policy, results)) return *stop;
    if (!spoilt.error && policy.referee->poison())
      return Verdict::failed(fmt::format("given {}: {}", value, *policy.referee->poison()));
    n_reported += spoilt.error ? 1 : 0;
    if (const auto at = difference(expected, results, trace, policy.referee->take_trace())) {
      return Verdict::failed(fmt::format("{} in one sequence's evidence changed another: {}", value, *at));
    }
    const std::vector<SessionResult> after = subject.run(neighbours(policy));
    if (const auto stop = trouble(policy, after)) return *stop;
    if (const auto at = difference(expected, after, trace, policy.referee->take_trace())) {
      return Verdict::failed(
          fmt::format("after {} in one sequence's evidence it decided otherwise: {}", value, *at));
    }
  }
  return Verdict::ok(fmt::format("NaN, inf and -inf: {} reported, {} harmless", n_reported, 3 - n_reported));
}

}  // namespace tenure
