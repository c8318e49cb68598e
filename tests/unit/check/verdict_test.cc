#include "check/verdict.h"

#include <doctest/doctest.h>

#include "check/check_plugin.h"
#include "error/codes.h"

using namespace tenure;

TEST_CASE("every rule is found by its id") {
  for (const RuleInfo& rule : rules()) {
    CHECK(rule_of(rule.id) == rule.rule);
    CHECK(info(rule.rule).id == rule.id);
    CHECK_FALSE(rule.promise.empty());
  }
  CHECK_FALSE(rule_of("budgets"));
  CHECK_FALSE(rule_of(""));
}

TEST_CASE("a verdict survives its passage as a line") {
  const Verdict said = Verdict::stopped(Rule::budget, "keeps 9\tslots\nwhere 8 are allowed");
  const std::optional<Verdict> heard = verdict_of(to_line(said));
  REQUIRE(heard);
  CHECK(heard->outcome == Outcome::stopped);
  CHECK(heard->by == Rule::budget);
  CHECK(heard->text == "keeps 9 slots where 8 are allowed");
}

TEST_CASE("what is no verdict is not taken for one") {
  const std::string line = to_line(Verdict::ok("all well"));
  for (size_t n = 0; n < line.size(); ++n) CHECK_FALSE(verdict_of(std::string_view(line).substr(0, n)));
  CHECK_FALSE(verdict_of("9\truns\ttext\n"));
  CHECK_FALSE(verdict_of("0\tno_rule\ttext\n"));
  CHECK_FALSE(verdict_of("ok\truns\ttext\n"));
}

TEST_CASE("the exit code: refused, broken, kept") {
  CheckReport report;
  report.results = {{.rule = Rule::load, .verdict = Verdict::ok()},
                    {.rule = Rule::forked, .verdict = Verdict::skipped("never decides")}};
  CHECK(report.exit_code() == exit_ok);
  report.results.push_back({.rule = Rule::budget, .verdict = Verdict::failed("9 of 8")});
  CHECK(report.exit_code() == exit_gate);
  report.results.front().verdict = Verdict::failed("no symbol");
  CHECK(report.exit_code() == exit_unavailable);
}

TEST_CASE("JUnit's XML holds no character that XML reserves") {
  CheckReport report;
  report.plugin.manifest.id = "mine";
  report.results = {{.rule = Rule::budget, .verdict = Verdict::failed("<9> & \"8\"\x01")}};
  const std::string xml = junit_of(report);
  CHECK(xml.find("message=\"&#60;9&#62; &#38; &#34;8&#34; \"") != std::string::npos);
  CHECK(xml.find("tests=\"1\" failures=\"1\" skipped=\"0\"") != std::string::npos);
}
