#include <doctest/doctest.h>

#include "cpu_time.h"
#include "fixture.h"

using namespace tenure;
using namespace tenure::test;

namespace {

std::vector<std::string> names(const Plan& plan) {
  std::vector<std::string> out;
  for (const CellPlan& cell : plan.cells) out.push_back(cell.name);
  return out;
}

using Names = std::vector<std::string>;

// `out` on policy lo and `plain` on the default one, both from `prompts`; lines 1 to 19.
const std::string two = with_policy + "[[stage]]\nid = \"plain\"\nkind = \"generate\"\nfrom = \"prompts\"\n";

void check_one(const std::string& matrix, Code code, uint32_t line, uint32_t column, std::string_view says,
               std::string_view help = "") {
  const auto found = findings(two + matrix);
  const std::string rendered = render(found);
  CAPTURE(rendered);
  REQUIRE(found.size() == 1);
  CHECK(found[0].code == code);
  CHECK(found[0].where.line == line);
  CHECK(found[0].where.column == column);
  CHECK(found[0].text.find(says) != std::string::npos);
  CHECK(found[0].help.find(help) != std::string::npos);
}

}  // namespace

TEST_CASE("matrix - a stage that no axis touches runs once, in a cell without name") {
  const Plan plan = load(two + "[matrix]\n\"policy.lo.budget\" = [\"1/2\", 64]\n");
  CHECK(names(plan) == Names{"", "policy.lo.budget=1/2", "policy.lo.budget=64"});
  REQUIRE(plan.cells[0].stages.size() == 2);
  CHECK(plan.cells[0].stages[1].id == "plain");
  CHECK(plan.cells[0].axes.empty());
  for (size_t i : {1, 2}) {
    REQUIRE(plan.cells[i].stages.size() == 2);
    CHECK(plan.cells[i].stages[0].id == "prompts");
    CHECK(plan.cells[i].stages[1].id == "out");
  }
  CHECK(generate(plan.cells[1]).policy.budget == Budget{BudgetKind::fraction, 0, {1, 2}});
  CHECK(generate(plan.cells[2]).policy.budget == Budget{BudgetKind::slots, 64, {}});
  CHECK(plan.cells[1].axes == std::map<std::string, std::string>{{"policy.lo.budget", "1/2"}});
}

TEST_CASE("matrix - an axis on a reader, the model or the engine touches all that runs behind it") {
  CHECK(names(load(two + "[matrix]\n\"stage.prompts.path\" = [\"a\", \"b\"]\n")) ==
        Names{"stage.prompts.path=a", "stage.prompts.path=b"});
  const Plan models = load(two + "[matrix]\n\"model.path\" = [\"a\", \"b\"]\n");
  CHECK(names(models) == Names{"model.path=a", "model.path=b"});
  CHECK(models.cells[1].model.path == "/w/b");
  CHECK(load(two + "[matrix]\n\"engine.determinism\" = [\"strict\"]\n").cells.size() == 1);
}

TEST_CASE("matrix - names are in key order, cells in the order of the file") {
  const Plan plan = load(two + "[matrix]\n\"stage.out.seed\" = [1, 2]\n\"policy.lo.chunk\" = [32, 16]\n");
  CHECK(names(plan) == Names{"", "policy.lo.chunk=32,stage.out.seed=1", "policy.lo.chunk=16,stage.out.seed=1",
                             "policy.lo.chunk=32,stage.out.seed=2", "policy.lo.chunk=16,stage.out.seed=2"});
}

TEST_CASE("matrix - keys the file does not have, quoted keys, and values that need quotes") {
  const std::string text = small + "policy = \"a.b\"\n[policy.\"a.b\"]\nplugin = \"locret\"\nbudget = 1\n";
  const Plan plan = load(
      text + "[matrix]\n'policy.\"a.b\".slack' = [1]\n\"stage.out.stop\" = [\"a,b=c\", [\"x\", \"y\"]]\n");
  CHECK(names(plan) == Names{"policy.\"a.b\".slack=1,stage.out.stop=\"a,b=c\"",
                             "policy.\"a.b\".slack=1,stage.out.stop=[x, y]"});
  CHECK(generate(plan.cells[0]).policy.slack == 1);
  CHECK(generate(plan.cells[1]).stop == std::vector<std::string>{"x", "y"});
}

TEST_CASE("matrix - exclude and include as CI systems have them") {
  const std::string axes = "[matrix]\n\"policy.lo.chunk\" = [16, 32]\n\"stage.out.seed\" = [1, 2]\n";
  CHECK(names(load(two + axes + "[[matrix.exclude]]\n\"policy.lo.chunk\" = 16\n\"stage.out.seed\" = 2\n")) ==
        Names{"", "policy.lo.chunk=16,stage.out.seed=1", "policy.lo.chunk=32,stage.out.seed=1",
              "policy.lo.chunk=32,stage.out.seed=2"});
  CHECK(names(load(two + axes + "[[matrix.exclude]]\n\"policy.lo.chunk\" = 16\n")).size() == 3);
  SUBCASE("an include with further keys extends the cells it fits") {
    const Plan plan =
        load(two + axes + "[[matrix.include]]\n\"policy.lo.chunk\" = 16\n\"stage.out.top_k\" = 5\n");
    CHECK(names(plan) == Names{"", "policy.lo.chunk=16,stage.out.seed=1,stage.out.top_k=5",
                               "policy.lo.chunk=16,stage.out.seed=2,stage.out.top_k=5",
                               "policy.lo.chunk=32,stage.out.seed=1", "policy.lo.chunk=32,stage.out.seed=2"});
    CHECK(generate(plan.cells[1]).top_k == 5);
    CHECK(generate(plan.cells[3]).top_k == 0);
  }
  SUBCASE("one that fits none is a cell of its own") {
    const Plan plan =
        load(two + axes + "[[matrix.include]]\n\"policy.lo.chunk\" = 64\n\"stage.out.top_k\" = 5\n");
    CHECK(plan.cells.size() == 6);
    CHECK(plan.cells.back().name == "policy.lo.chunk=64,stage.out.top_k=5");
  }
  SUBCASE("a matrix of includes only") {
    CHECK(names(load(two + "[[matrix.include]]\n\"policy.lo.chunk\" = 64\n")) ==
          Names{"", "policy.lo.chunk=64"});
  }
}

TEST_CASE("matrix - the file needs no value where every cell has one") {
  const std::string text = small + "policy = \"lo\"\n[policy.lo]\nplugin = \"locret\"\n";
  CHECK(load(text + "[matrix]\n\"policy.lo.budget\" = [1, 2]\n").cells.size() == 2);
}

TEST_CASE("matrix - axes over which policy a stage uses, and over that policy") {
  const std::string text = two +
                           "[policy.other]\nplugin = \"sinks\"\nbudget = 4\n[matrix]\n\"stage.out.policy\" = "
                           "[\"lo\", \"other\"]\n";
  const Plan plan = load(text + "\"policy.other.budget\" = [8]\n");
  CHECK(names(plan) == Names{"", "policy.other.budget=8,stage.out.policy=lo",
                             "policy.other.budget=8,stage.out.policy=other"});
  CHECK(generate(plan.cells[2]).policy.budget.amount == 8);
}

TEST_CASE("matrix - --set fixes an axis to one value") {
  PlanOptions o = options();
  o.set = {"policy.lo.budget=1/4"};
  const Plan plan = load(two + "[matrix]\n\"policy.lo.budget\" = [\"1/2\", \"1/8\"]\n", o);
  CHECK(names(plan) == Names{"", "policy.lo.budget=1/4"});
  CHECK(generate(plan.cells[1]).policy.budget == Budget{BudgetKind::fraction, 0, {1, 4}});
}

TEST_CASE("matrix - what is refused, and where") {
  const std::string hundred = [] {
    std::string list = "[0";
    for (int i = 1; i < 1000; ++i) list += "," + std::to_string(i);
    return list + "]\n";
  }();
  check_one("[matrix]\n\"stage.out.seed\" = " + hundred + "\"stage.out.top_k\" = " + hundred +
                "\"stage.plain.seed\" = " + hundred,
            Code::matrix_too_large, 20, 1, "has 1000000000 cells (1000 × 1000 × 1000); at most 10000");
  check_one("[matrix]\n", Code::matrix_empty, 20, 1, "has no axis");
  check_one("[matrix]\n\"stage.out.seed\" = []\n", Code::matrix_empty, 21, 20, "has no values");
  check_one("[matrix]\n\"stage.out.seed\" = [1]\n[[matrix.exclude]]\n\"stage.out.seed\" = 1\n",
            Code::matrix_empty, 20, 1, "no cell left");
  check_one("[matrix]\n\"stage.out.seed\" = [1, 2, 1]\n", Code::matrix_duplicate_cell, 21, 27,
            "two cells of the matrix are \"stage.out.seed=1\"");
  check_one("[matrix]\n\"stage.out.seed\" = [1]\n[[matrix.include]]\n\"stage.out.seed\" = 1\n",
            Code::matrix_duplicate_cell, 23, 20, "two cells");
  check_one("[matrix]\n\"policy.l0.budget\" = [1]\n", Code::matrix_bad_key, 21, 1, "no policy \"l0\"",
            "did you mean \"lo\"?");
  check_one("[matrix]\n\"policy.lo.budgte\" = [1]\n", Code::unknown_key, 21, 1, "\"budgte\"",
            "did you mean \"budget\"?");
  check_one("[matrix]\npolicy.lo.budget = [1]\n", Code::matrix_bad_key, 21, 1, "is a table",
            "quote the whole path");
  check_one("[matrix]\n\"run.retries\" = [1]\n", Code::matrix_bad_key, 21, 1, "holds for the whole run");
  check_one("[matrix]\n\"stage.out.seed\" = 1\n", Code::wrong_type, 21, 20, "wanted a list of values");
  check_one("[matrix]\n\"stage.out.seed\" = [{a = 1}]\n", Code::wrong_type, 21, 21, "holds a table");
  check_one("[matrix]\n\"stage.out.seed\" = [1]\n[[matrix.exclude]]\n\"stage.out.sed\" = 1\n",
            Code::matrix_bad_key, 23, 1, "is no axis", "did you mean \"stage.out.seed\"?");
  check_one("[policy.idle]\nplugin = \"full\"\n[matrix]\n\"policy.idle.chunk\" = [1, 2]\n",
            Code::matrix_bad_key, 23, 1, "changes nothing");
  check_one(
      "[[stage]]\nid = \"w\"\nkind = \"write_jsonl\"\nfrom = \"out\"\npath = "
      "\"x\"\n[matrix]\n\"stage.w.format\" = [\"openai\"]\n",
      Code::matrix_bad_key, 26, 1, "writes one file for all cells");
  check_one("[matrix]\n\"policy.lo.budget\" = [\"1/2\", 0]\n", Code::out_of_range, 21, 30, "is 0");
}

TEST_CASE("matrix - as many cells as are allowed, in linear time") {
  CHECK(takes_linear_time(100, [](size_t n_seeds) {
    std::string text = two + "[matrix]\n\"stage.out.seed\" = [";
    for (size_t i = 0; i < n_seeds; ++i) text += std::to_string(i) + ", ";
    text += "]\n\"stage.out.top_k\" = [";
    for (size_t i = 0; i < 100; ++i) text += std::to_string(i) + ", ";
    const Plan plan = load(text + "]\n");
    CHECK(plan.cells.size() == n_seeds * 100 + 1);
    CHECK(generate(plan.cells.back()).seed == n_seeds - 1);
  }));
}
