#include <doctest/doctest.h>

#include "record/change_limit.h"

using namespace tenure;

namespace {

ChangeLimit parsed(std::string_view text) {
  auto limit = parse_change_limit(text);
  REQUIRE(std::holds_alternative<ChangeLimit>(limit));
  return std::get<ChangeLimit>(limit);
}

std::string refused(std::string_view text) {
  const auto limit = parse_change_limit(text);
  const auto* why = std::get_if<std::string>(&limit);
  return why ? *why : std::string();
}

PairedRuns runs_with(const std::string& stage, const std::string& metric, const std::vector<std::pair<double, double>>& pairs) {
  PairedRuns runs;
  PairedMetric& paired = runs.metrics[{stage, "", metric}];
  for (const auto& [a, b] : pairs) {
    paired.a.add(a);
    paired.b.add(b);
    paired.change.add(b - a);
  }
  return runs;
}

}  // namespace

TEST_CASE("change limit - every part of its text") {
  const ChangeLimit full = parsed("answers/exact_match < -2pp @95%");
  CHECK(full.stage == "answers");
  CHECK(full.metric == "exact_match");
  CHECK_FALSE(full.is_upper);
  CHECK(full.limit == -2);
  CHECK(full.unit == ChangeLimit::Unit::points);
  CHECK(full.confidence == doctest::Approx(0.95));
  const ChangeLimit tight = parsed("kv.peak_bytes>5%");
  CHECK(tight.stage.empty());
  CHECK(tight.is_upper);
  CHECK(tight.limit == 5);
  CHECK(tight.unit == ChangeLimit::Unit::percent);
  CHECK_FALSE(tight.confidence);
  CHECK(parsed("score.ppl > 0.5 @ 99.5 %").confidence == doctest::Approx(0.995));
  for (const char* bad : {"", "x", "< 1", "x > ", "x > 1x", "x > 1e999", "x > nan", "/x > 1", "x > 1 @", "x > 1 @0%", "x > 1 @100%",
                          "x > 1 @95", "kv.peak_bytes > 1pp", "x > 1% %"}) {
    CAPTURE(bad);
    CHECK_FALSE(refused(bad).empty());
  }
}

TEST_CASE("change limit - the mean change in the limit's unit") {
  // Means 2 and 3: a change of 1, which is 50 %.
  const PairedRuns runs = runs_with("s", "kv.peak_bytes", {{1, 3}, {3, 3}});
  const auto one = [&](std::string_view text) { return judge(parsed(text), runs).at(0); };
  CHECK(one("kv.peak_bytes > 0.9").holds);
  CHECK_FALSE(one("kv.peak_bytes > 1").holds);
  CHECK(one("kv.peak_bytes > 49%").holds);
  CHECK_FALSE(one("kv.peak_bytes > 50%").holds);
  CHECK_FALSE(one("kv.peak_bytes < 50%").holds);
  CHECK(one("kv.peak_bytes < 51%").holds);
  CHECK(one("other/kv.peak_bytes > 0").cannot == "no pair of rows has it");
  const PairedRuns shares = runs_with("s", "exact_match", {{1, 0}, {1, 1}, {1, 1}, {1, 1}});
  CHECK(judge(parsed("exact_match < -24pp"), shares).at(0).holds);
  CHECK_FALSE(judge(parsed("exact_match < -25pp"), shares).at(0).holds);
}

TEST_CASE("change limit - with a confidence the whole interval must lie beyond it") {
  // Changes 1, 2, 3: mean 2, deviation 1, t(2, 97.5 %) = 4.303, so 2 ± 2.484.
  const PairedRuns runs = runs_with("s", "score.ppl", {{0, 1}, {0, 2}, {0, 3}});
  const ChangeVerdict verdict = judge(parsed("score.ppl > -0.4 @95%"), runs).at(0);
  CHECK(verdict.interval.low == doctest::Approx(2 - 2.484).epsilon(0.001));
  CHECK(verdict.interval.high == doctest::Approx(2 + 2.484).epsilon(0.001));
  CHECK_FALSE(verdict.holds);
  CHECK(judge(parsed("score.ppl > -0.5 @95%"), runs).at(0).holds);
  CHECK(judge(parsed("score.ppl < 4.5 @95%"), runs).at(0).holds);
  CHECK_FALSE(judge(parsed("score.ppl < 4.4 @95%"), runs).at(0).holds);
  CHECK(judge(parsed("score.ppl > 1%"), runs).at(0).cannot == "its mean in A is 0, of which there are no percent");
  CHECK_FALSE(judge(parsed("score.ppl > 1 @95%"), runs_with("s", "score.ppl", {{1, 9}})).at(0).cannot.empty());
}
