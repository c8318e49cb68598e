// [[stage]] kind = "compare": where it stands among the cells, and what gates may ask of it.
#include "fixture.h"

using namespace tenure;
using namespace tenure::test;

namespace {

const std::string two =
    small + "[[stage]]\nid = \"evicted\"\nkind = \"generate\"\nfrom = \"prompts\"\npolicy = \"lo\"\n" +
    "[policy.lo]\nplugin = \"locret\"\nbudget = \"1/8\"\n";
const std::string delta =
    "[[stage]]\nid = \"delta\"\nkind = \"compare\"\nfrom = [\"out\", \"evicted\"]\nmetrics = [\"agree_tokens\", \"kv.peak_bytes\"]\n";
const std::string sweep = "[matrix]\n\"policy.lo.budget\" = [\"1/2\", \"1/4\"]\n";

bool has(const CellPlan& cell, std::string_view id) {
  for (const StagePlan& s : cell.stages) {
    if (s.id == id) return true;
  }
  return false;
}

std::string gate_on(const std::string& metric) {
  return "[[gate]]\nstage = \"delta\"\nmetric = \"" + metric + "\"\nmin = 1\n";
}

}  // namespace

TEST_CASE("compare - follows the stages it takes from") {
  const Plan plan = load(two + delta);
  REQUIRE(plan.cells.size() == 1);
  const StagePlan& last = plan.cells[0].stages.back();
  CHECK(last.id == "delta");
  CHECK(last.from == std::vector<std::string>{"out", "evicted"});
  CHECK(std::get<ComparePlan>(last.work).metrics == std::vector<std::string>{"agree_tokens", "kv.peak_bytes"});
}

TEST_CASE("compare - is in each cell that one of its sides is in, and draws no shared stage into it") {
  const Plan plan = load(two + delta + sweep);
  REQUIRE(plan.cells.size() == 3);
  CHECK(has(plan.cells[0], "out"));
  CHECK_FALSE(has(plan.cells[0], "delta"));
  for (size_t i : {1, 2}) {
    CHECK(has(plan.cells[i], "evicted"));
    CHECK(has(plan.cells[i], "delta"));
    CHECK_FALSE(has(plan.cells[i], "out"));
  }
}

TEST_CASE("compare - what no axis touches is compared in the shared cell") {
  const std::string other = "[[stage]]\nid = \"again\"\nkind = \"generate\"\nfrom = \"prompts\"\n";
  const std::string same = "[[stage]]\nid = \"same\"\nkind = \"compare\"\nfrom = [\"out\", \"again\"]\nmetrics = \"exact_match\"\n";
  const Plan plan = load(two + other + same + sweep);
  CHECK(has(plan.cells[0], "same"));
  CHECK_FALSE(has(plan.cells[1], "same"));
}

TEST_CASE("compare - a gate names a metric with or without its prefix, and its limit is a plain number") {
  for (const char* metric : {"agree_tokens", "compare.agree_tokens"}) {
    CHECK(load(two + delta + gate_on(metric)).gates.at(0).metric == "compare.agree_tokens");
  }
  CHECK(load(two + delta + gate_on("kv.peak_bytes")).gates.at(0).text == "delta: mean compare.kv.peak_bytes >= 1");
  const auto found = findings(two + delta + gate_on("agree_token"));
  REQUIRE(found.size() == 1);
  CHECK(found[0].code == Code::bad_gate);
  CHECK(found[0].help == "did you mean \"agree_tokens\"?");
}
