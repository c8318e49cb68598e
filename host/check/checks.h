// The checks: each drives the policy under test its own way and says how that ended. They throw Error where
// the policy cannot be had; run_check() turns that into a verdict too.
#pragma once

#include <vector>

#include "check/subject.h"
#include "check/verdict.h"

namespace tenure {

// What most checks run: a budget that every prompt exceeds, over chunks that are shorter than it.
Variant usual_variant(Keys more = {});

// Whether these runs can be judged at all: a rule that was broken on the way, or a failed request, stops a
// check.
std::optional<Verdict> trouble(const LoadedPolicy& policy, const std::vector<SessionResult>& results);

Verdict check_needs(Subject&);
Verdict check_create(Subject&);
Verdict check_runs(Subject&);
Verdict check_verdicts(Subject&, Rule rule);  // the rules of what a policy says, over many ways to run it
Verdict check_phases(Subject&);
Verdict check_edge_prompts(Subject&);
Verdict check_deterministic(Subject&);
Verdict check_chunk_invariant(Subject&);
Verdict check_interleaved(Subject&);
Verdict check_forked(Subject&);
Verdict check_layers(Subject&);  // on several threads
Verdict check_bad_evidence(Subject&);
Verdict check_windows(Subject&);  // on the windowed model
Verdict check_parameters(Subject&);
Verdict check_leaks(Subject&);
Verdict check_heap(Subject&);

// Throws Error when the source's settings are not what the plugin takes. Runs no plugin code.
void validate(const SubjectSource& source);
// One check, in this process. Never throws what a plugin or a pipeline is to blame for.
Verdict run_check(const SubjectSource& source, Rule rule);

}  // namespace tenure
