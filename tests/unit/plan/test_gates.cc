#include <doctest/doctest.h>

#include "fixture.h"
#include "plan/metrics.h"

using namespace tenure;
using namespace tenure::test;

namespace {

const std::string base = with_policy + "[matrix]\n\"policy.lo.budget\" = [\"1/2\", \"1/8\"]\n[[gate]]\n";

GatePlan gate(const std::string& keys) {
  const Plan plan = load(base + keys);
  REQUIRE(plan.gates.size() == 1);
  return plan.gates[0];
}

}  // namespace

TEST_CASE("gates - defaults, and the text a person reads") {
  const GatePlan g = gate("stage = \"out\"\nmetric = \"exact_match\"\nmin = 0.90\n");
  CHECK(g.stage == "out");
  CHECK(g.metric == "exact_match");
  CHECK(g.aggregate == Aggregate::mean);
  CHECK(g.min == 0.9);
  CHECK_FALSE(g.max.has_value());
  CHECK(g.per == GatePer::cell);
  CHECK(g.versus.empty());
  CHECK_FALSE(g.confidence.has_value());
  CHECK(g.where.line == 18);
  CHECK(g.text == "out: mean exact_match >= 0.9");
}

TEST_CASE("gates - limits in the metric's unit") {
  CHECK(gate("stage = \"out\"\nmetric = \"kv.peak_bytes\"\nmax = \"24 MiB\"\n").max == 24.0 * 1024 * 1024);
  CHECK(gate("stage = \"out\"\nmetric = \"timing.ttft_ms\"\nagg = \"p99\"\nmax = \"1.5 s\"\n").max == 1500.0);
  CHECK(gate("stage = \"out\"\nmetric = \"timing.ttft_ms\"\nmax = 20\n").max == 20.0);
}

TEST_CASE("gates - every other key") {
  const GatePlan g = gate(
      "stage = \"out\"\nmetric = \"segments.exact_match\"\nagg = \"p50\"\nmin = 0.5\nmax = 1\nper = "
      "\"all\"\nconfidence = 0.95\n"
      "where = { label = \"deep\", prompt_tokens = [1024, 4096], axes = { \"policy.lo.budget\" = \"1/8\" } "
      "}\n");
  CHECK(g.aggregate == Aggregate::p50);
  CHECK(g.per == GatePer::all);
  CHECK(g.confidence == 0.95);
  CHECK(g.where_label == "deep");
  CHECK(g.where_prompt_tokens == std::pair<uint64_t, uint64_t>{1024, 4096});
  CHECK(g.where_axes == std::map<std::string, std::string>{{"policy.lo.budget", "1/8"}});
}

TEST_CASE("gates - versus another stage is a ratio") {
  const std::string other = "[[stage]]\nid = \"plain\"\nkind = \"generate\"\nfrom = \"prompts\"\n";
  const Plan plan =
      load(with_policy + other +
           "[[gate]]\nstage = \"out\"\nmetric = \"kv.peak_bytes\"\nmax = 0.5\nversus = \"plain\"\n");
  CHECK(plan.gates.at(0).versus == "plain");
  CHECK(plan.gates.at(0).text == "out: mean kv.peak_bytes <= 0.5 × plain");
}

TEST_CASE("gates - what is refused") {
  struct Row {
    const char* keys;
    Code code;
    uint32_t line, column;
    const char *says, *help;
  };
  const Row rows[] = {
      {"stage = \"out\"\nmetric = \"exact_mach\"\nmin = 1\n", Code::bad_gate, 20, 10, "no metric",
       "did you mean \"exact_match\"?"},
      {"stage = \"out\"\nmetric = \"ttft_ms\"\nmin = 1\n", Code::bad_gate, 20, 10, "no metric",
       "did you mean \"timing.ttft_ms\"?"},
      {"stage = \"uot\"\nmetric = \"exact_match\"\nmin = 1\n", Code::unknown_reference, 19, 9,
       "does not exist", "did you mean \"out\"?"},
      {"stage = \"prompts\"\nmetric = \"exact_match\"\nmin = 1\n", Code::bad_gate, 19, 9, "has no rows", ""},
      {"stage = \"out\"\nmetric = \"exact_match\"\n", Code::bad_gate, 18, 1, "has no limit", "`min`"},
      {"stage = \"out\"\nmetric = \"exact_match\"\nmin = \"24 MiB\"\n", Code::wrong_type, 21, 7,
       "wanted a number", ""},
      {"stage = \"out\"\nmetric = \"kv.peak_bytes\"\nmax = \"20 ms\"\n", Code::bad_value, 21, 7,
       "wanted a size", ""},
      {"stage = \"out\"\nmetric = \"exact_match\"\nmin = 2\nmax = 1\n", Code::out_of_range, 21, 7,
       "above max", ""},
      {"stage = \"out\"\nmetric = \"exact_match\"\nmin = 1\nversus = \"out\"\n", Code::bad_gate, 22, 10,
       "with itself", ""},
      {"stage = \"out\"\nmetric = \"exact_match\"\nmin = 1\nconfidence = 1\n", Code::out_of_range, 22, 14,
       "between 0 and 1", ""},
      {"stage = \"out\"\nmetric = \"exact_match\"\nmin = 1\nagg = \"median\"\n", Code::bad_value, 22, 7,
       "\"p50\"", ""},
      {"stage = \"out\"\nmetric = \"exact_match\"\nmin = 1\nwhere = {axes = {\"policy.lo.budget\" = "
       "\"1/3\"}}\n",
       Code::bad_gate, 22, 39, "never is 1/3", "1/2, 1/8"},
      {"stage = \"out\"\nmetric = \"exact_match\"\nmin = 1\nwhere = {axes = {\"policy.lo.chunk\" = 1}}\n",
       Code::unknown_reference, 22, 18, "is no axis", ""},
      {"stage = \"out\"\nmetric = \"exact_match\"\nmin = 1\nwhere = {prompt_tokens = [5, 4]}\n",
       Code::out_of_range, 22, 26, "wrong way round", ""},
      {"stage = \"out\"\nmetric = \"exact_match\"\nmin = 1\nwindow = 50\n", Code::unknown_key, 22, 1,
       "\"window\" in [[gate]] 1", ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.keys);
    const auto found = findings(base + row.keys);
    const std::string rendered = render(found);
    CAPTURE(rendered);
    REQUIRE(found.size() == 1);
    CHECK(found[0].code == row.code);
    CHECK(found[0].where.line == row.line);
    CHECK(found[0].where.column == row.column);
    CHECK(found[0].text.find(row.says) != std::string::npos);
    CHECK(found[0].help.find(row.help) != std::string::npos);
  }
}

TEST_CASE("metrics - units by name") {
  CHECK(unit_of("kv.peak_bytes") == MetricUnit::bytes);
  CHECK(unit_of("kv.bytes_per_token") == MetricUnit::bytes);
  CHECK(unit_of("timing.ttft_ms") == MetricUnit::milliseconds);
  CHECK(unit_of("timing.decode_tps") == MetricUnit::number);
}
