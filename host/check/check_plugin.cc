#include "check/check_plugin.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "check/child.h"
#include "error/codes.h"

namespace tenure {
namespace {

// Nothing that follows could be tried, or every try would end like this one.
bool stops_the_rest(const CheckResult& result) {
  const Outcome outcome = result.verdict.outcome;
  if (outcome == Outcome::unavailable) return true;
  if (result.rule == Rule::runs) return outcome == Outcome::failed;
  return result.rule < Rule::runs && (outcome == Outcome::failed || outcome == Outcome::stopped);
}

std::string first_words(const std::string& text) {
  return text.empty() ? "" : fmt::format(" (it said: {})", text.substr(0, 200));
}

class Checker {
 public:
  explicit Checker(const CheckWish& wish)
      : wish_(wish), report_{.plugin = wish.plugin, .seed = wish.seed, .results = {}} {}

  CheckReport run() {
    for (const RuleInfo& rule : rules()) {
      if (wish_.plugin.manifest.kind == PluginKind::backend && !rule.of_backends) continue;
      report_.results.push_back(over_ ? skip(rule.rule) : check(rule));
      if (!over_ && stops_the_rest(report_.results.back())) over_ = rule.rule;
    }
    blame();
    return std::move(report_);
  }

 private:
  // What compares runs can be judged only where a run is like another.
  std::optional<Rule> spoils(Rule rule) const {
    if (rule <= Rule::deterministic || rule > Rule::windows) return std::nullopt;
    for (const CheckResult& result : report_.results) {
      const bool compares = result.rule == Rule::deterministic || result.rule == Rule::interleaved;
      if (compares && result.verdict.outcome == Outcome::failed) return result.rule;
    }
    return std::nullopt;
  }

  CheckResult skip(Rule rule) const {
    return {.rule = rule,
            .verdict = Verdict::skipped(fmt::format("not tried: `{}` is not kept", info(*over_).id))};
  }

  CheckResult check(const RuleInfo& rule) {
    if (const std::optional<Rule> broken = spoils(rule.rule))
      return {.rule = rule.rule, .verdict = Verdict::stopped(*broken, {})};
    std::vector<std::string> words = wish_.command;
    words.emplace_back(rule.id);
    const ChildEnd end = run_child(words, wish_.time_limit);
    CheckResult result{.rule = rule.rule, .seconds = end.seconds};
    if (end.verdict) {
      result.verdict = *end.verdict;
      return result;
    }
    // One bug, one failed rule: who dies like that again is not failed again.
    const auto [first, is_new] = deaths_.try_emplace(end.death, rule.rule);
    result.verdict = is_new ? Verdict::failed(end.death + first_words(end.last_words))
                            : Verdict::stopped(first->second, end.death);
    return result;
  }

  // A rule that was seen to be broken on the way to another's check, and not by its own.
  void blame() {
    for (const CheckResult& stopped : report_.results) {
      if (stopped.verdict.outcome != Outcome::stopped) continue;
      const auto broken =
          std::find_if(report_.results.begin(), report_.results.end(),
                       [&](const CheckResult& result) { return result.rule == stopped.verdict.by; });
      if (broken == report_.results.end() || broken->verdict.outcome == Outcome::failed) continue;
      broken->verdict =
          Verdict::failed(fmt::format("{} (seen in `{}`)", stopped.verdict.text, info(stopped.rule).id));
    }
  }

  const CheckWish& wish_;
  CheckReport report_;
  std::optional<Rule> over_;  // nothing can be judged after this one
  std::map<std::string, Rule> deaths_;
};

}  // namespace

size_t CheckReport::count(Outcome outcome) const {
  return static_cast<size_t>(std::count_if(
      results.begin(), results.end(), [&](const CheckResult& r) { return r.verdict.outcome == outcome; }));
}

bool CheckReport::is_refused() const {
  const bool not_loaded = !results.empty() && results.front().verdict.outcome == Outcome::failed;
  return not_loaded || count(Outcome::unavailable) > 0;
}

int CheckReport::exit_code() const {
  if (is_refused()) return exit_unavailable;
  return count(Outcome::failed) > 0 ? exit_gate : exit_ok;
}

CheckReport check_plugin(const CheckWish& wish) {
  return Checker(wish).run();
}

}  // namespace tenure
