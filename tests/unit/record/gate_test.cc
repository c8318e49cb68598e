#include "record/gate.h"

#include <doctest/doctest.h>

using namespace tenure;

namespace {

ResultRow row_of(std::string stage, std::string cell, double match, RowStatus status = RowStatus::ok) {
  ResultRow row;
  row.id = "x";
  row.stage = std::move(stage);
  row.cell = cell;
  if (!cell.empty()) row.axes = {{"b", cell}};
  row.status = status;
  if (status == RowStatus::ok) row.exact_match = match;
  row.usage = RowUsage{1000, 10};
  row.kv = RowKv{.peak_bytes = static_cast<int64_t>(100 * (match + 1))};
  return row;
}

std::vector<GateResult> judge(GateSpec spec, const std::vector<ResultRow>& rows,
                              const std::vector<Cell>& cells = {{"", {}}}) {
  GateJudge gates({std::move(spec)});
  for (const ResultRow& row : rows) gates.add(row);
  return gates.judge(cells);
}

constexpr auto ok = GateResult::Status::ok;
constexpr auto failed = GateResult::Status::failed;
constexpr auto not_evaluable = GateResult::Status::not_evaluable;
const Cell cell_a{"a", {{"b", std::string("a")}}}, cell_b{"b", {{"b", std::string("b")}}};

}  // namespace

TEST_CASE("gate - holds at its limit and fails past it") {
  const std::vector<ResultRow> rows = {row_of("s", "", 1), row_of("s", "", 1), row_of("s", "", 1),
                                       row_of("s", "", 0)};
  CHECK(judge({.stage = "s", .metric = "exact_match", .min = 0.75}, rows)[0].status == ok);
  CHECK(judge({.stage = "s", .metric = "exact_match", .min = 0.76}, rows)[0].status == failed);
  CHECK(judge({.stage = "s", .metric = "exact_match", .max = 0.7}, rows)[0].status == failed);
  CHECK(judge({.stage = "s", .metric = "kv.peak_bytes", .agg = GateAggregate::max, .max = 200}, rows)[0]
            .status == ok);
  CHECK(judge({.stage = "s", .metric = "kv.peak_bytes", .agg = GateAggregate::max, .max = 199}, rows)[0]
            .status == failed);
}

TEST_CASE("gate - error rows count as 0 for accuracies only") {
  const std::vector<ResultRow> rows = {row_of("s", "", 1), row_of("s", "", 0, RowStatus::error),
                                       row_of("s", "", 1, RowStatus::limit)};
  CHECK(*judge({.stage = "s", .metric = "exact_match", .min = 0.5}, rows)[0].value == 0.5);
  CHECK(*judge({.stage = "s", .metric = "kv.peak_bytes", .min = 1}, rows)[0].value == 200);
}

TEST_CASE("gate - nothing to judge fails") {
  CHECK(judge({.stage = "s", .metric = "exact_match", .min = 0}, {})[0].status == not_evaluable);
  CHECK(judge({.stage = "s", .metric = "score.ppl", .max = 9}, {row_of("s", "", 1)})[0].status ==
        not_evaluable);
  const auto errors_only =
      judge({.stage = "s", .metric = "exact_match", .min = 0}, {row_of("s", "", 0, RowStatus::error)});
  CHECK(errors_only[0].status == not_evaluable);
  CHECK_FALSE(all_passed(errors_only));
  const auto by_cell =
      judge({.stage = "s", .metric = "exact_match", .min = 0}, {row_of("s", "a", 1)}, {cell_a, cell_b});
  REQUIRE(by_cell.size() == 2);
  CHECK(by_cell[0].status == ok);
  CHECK(by_cell[1].status == not_evaluable);
}

TEST_CASE("gate - judges each cell, or all as one pool") {
  const std::vector<ResultRow> rows = {row_of("s", "a", 1), row_of("s", "a", 1), row_of("s", "b", 0)};
  const auto each = judge({.stage = "s", .metric = "exact_match", .min = 0.5}, rows, {cell_a, cell_b});
  CHECK(each[0].status == ok);
  CHECK(each[1].status == failed);
  const auto all = judge({.stage = "s", .metric = "exact_match", .min = 0.6, .per = GateSpec::Per::all}, rows,
                         {cell_a, cell_b});
  REQUIRE(all.size() == 1);
  CHECK(*all[0].value == doctest::Approx(2.0 / 3));
  GateSpec only_a{.stage = "s", .metric = "exact_match", .min = 1};
  only_a.where.axes = {{"b", std::string("a")}};
  const auto filtered = judge(only_a, rows, {cell_a, cell_b});
  REQUIRE(filtered.size() == 1);
  CHECK(filtered[0].status == ok);
}

TEST_CASE("gate - a ratio to another stage uses that stage's own cell, or the shared one") {
  const std::vector<ResultRow> rows = {row_of("full", "", 1), row_of("s", "a", 1), row_of("s", "b", 0)};
  const auto results =
      judge({.stage = "s", .metric = "kv.peak_bytes", .max = 0.5, .versus = "full"}, rows, {cell_a, cell_b});
  CHECK(*results[0].value == 1);
  CHECK(results[0].status == failed);
  CHECK(*results[1].value == 0.5);
  CHECK(results[1].status == ok);
  CHECK(judge({.stage = "s", .metric = "kv.peak_bytes", .max = 1, .versus = "absent"}, rows, {cell_a})[0]
            .status == not_evaluable);
}

TEST_CASE("gate - where selects by label and prompt length") {
  ResultRow row = row_of("s", "", 1);
  row.segments.resize(2);
  row.segments[0].label = "near";
  row.segments[0].exact_match = true;
  row.segments[1].label = "far";
  row.segments[1].exact_match = false;
  GateSpec spec{.stage = "s", .metric = "exact_match", .min = 0.5};
  spec.where.label = "far";
  CHECK(*judge(spec, {row})[0].value == 0);
  spec.where.label = "near";
  CHECK(*judge(spec, {row})[0].value == 1);
  spec.where.label = "absent";
  CHECK(judge(spec, {row})[0].status == not_evaluable);
  spec.where.label.reset();
  spec.where.prompt_tokens = {1000, 1000};
  CHECK(judge(spec, {row})[0].status == ok);
  spec.where.prompt_tokens = {1001, 4000};
  CHECK(judge(spec, {row})[0].status == not_evaluable);
}

TEST_CASE("gate - confidence judges the bound, so few rows do not pass by luck") {
  std::vector<ResultRow> rows(5, row_of("s", "", 1));
  CHECK(judge({.stage = "s", .metric = "exact_match", .min = 0.9, .confidence = 0.95}, rows)[0].status ==
        failed);
  rows.resize(100, row_of("s", "", 1));
  const auto many = judge({.stage = "s", .metric = "exact_match", .min = 0.9, .confidence = 0.95}, rows);
  CHECK(many[0].status == ok);
  CHECK(*many[0].bound < *many[0].value);
  CHECK(
      judge(
          {.stage = "s", .metric = "exact_match", .agg = GateAggregate::p50, .min = 0.9, .confidence = 0.95},
          rows)[0]
          .status == not_evaluable);
}
