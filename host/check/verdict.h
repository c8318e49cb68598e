// How one check ended, and its passage from the process that checked to the one that asked.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "check/rules.h"

namespace tenure {

enum class Outcome {
  ok,
  failed,
  skipped,      // does not apply to this plugin
  stopped,      // another rule was broken on the way, so this one could not be judged
  unavailable,  // the plugin is refused here: nothing can be judged
};

struct Verdict {
  Outcome outcome = Outcome::ok;
  std::string text;      // one line: what was seen, or why not
  Rule by = Rule::runs;  // of `stopped`: the rule that was broken

  static Verdict ok(std::string text = {}) { return {.outcome = Outcome::ok, .text = std::move(text)}; }
  static Verdict failed(std::string text) { return {.outcome = Outcome::failed, .text = std::move(text)}; }
  static Verdict skipped(std::string text) { return {.outcome = Outcome::skipped, .text = std::move(text)}; }
  static Verdict stopped(Rule by, std::string text) {
    return {.outcome = Outcome::stopped, .text = std::move(text), .by = by};
  }
};

// "ok", "FAILED", "skipped", "refused".
std::string_view name_of(Outcome);

std::string to_line(const Verdict&);
// Nothing when the line is not one that to_line() made.
std::optional<Verdict> verdict_of(std::string_view line);

}  // namespace tenure
