#include <doctest/doctest.h>

#include "record/alert.h"
#include "record/progress.h"

using namespace tenure;

namespace {

StepFigures step(uint64_t rows, uint64_t rebuilt_rows, uint64_t kv_bytes = 0) {
  return {.rows = rows, .rebuilt_rows = rebuilt_rows, .kv_bytes = kv_bytes};
}

// What one request raises, step by step and at its end.
std::vector<RowAlert> raised_by(StageAlerts& stage, const std::vector<StepFigures>& steps) {
  StageAlerts::Request request(stage);
  std::vector<RowAlert> all;
  for (const StepFigures& figures : steps) {
    for (RowAlert& alert : request.step(figures)) all.push_back(alert);
  }
  for (RowAlert& alert : request.end()) all.push_back(alert);
  return all;
}

}  // namespace

TEST_CASE("alert window - the last steps only") {
  const AlertSpec spec{.metric = "kv_bytes", .agg = GateAggregate::max, .window = 3};
  AlertWindow window(spec);
  CHECK(window.figure() == 0);
  for (uint64_t bytes : {900, 1, 2, 3}) window.add(step(1, 0, bytes));
  CHECK(window.figure() == 3);
  CHECK(window.n_steps() == 4);
}

TEST_CASE("alert window - a rate's mean is of all rows, not of the steps' rates") {
  const AlertSpec mean{.metric = "rebuild_rate", .window = 10}, most{.metric = "rebuild_rate", .agg = GateAggregate::max, .window = 10};
  AlertWindow a(mean), b(most);
  for (AlertWindow* window : {&a, &b}) {
    window->add(step(100, 10));
    window->add(step(2, 1));
  }
  CHECK(a.figure() == doctest::Approx(11.0 / 102));
  CHECK(b.figure() == doctest::Approx(0.5));
}

TEST_CASE("alerts - over full windows, once a request, at the step it happened") {
  StageAlerts stage({{.metric = "rebuild_rate", .window = 2, .max = 0.4}});
  const auto raised = raised_by(stage, {step(1, 1), step(9, 0), step(1, 1), step(1, 1), step(1, 1)});
  REQUIRE(raised.size() == 1);
  CHECK(raised[0].step == 4);  // the windows' rates: -, 0.1, 0.1, 1
  CHECK(raised[0].value == 1);
  CHECK(raised[0].limit == 0.4);
}

TEST_CASE("alerts - a request shorter than its window is judged at its end, one without a step never") {
  StageAlerts stage({{.metric = "kv_bytes", .window = 50, .min = 10}});
  CHECK(raised_by(stage, {step(1, 0, 3)}).size() == 1);
  CHECK(raised_by(stage, {step(1, 0, 30)}).empty());
  CHECK(raised_by(stage, {}).empty());
}

TEST_CASE("alerts - a limit is no alert, what passes it is") {
  StageAlerts stage({{.metric = "kv_bytes", .window = 1, .min = 5, .max = 9}});
  CHECK(raised_by(stage, {step(1, 0, 5)}).empty());
  CHECK(raised_by(stage, {step(1, 0, 9)}).empty());
  CHECK(raised_by(stage, {step(1, 0, 10)}).at(0).limit == 9);
  CHECK(raised_by(stage, {step(1, 0, 4)}).at(0).limit == 5);
}

TEST_CASE("alerts - versus the median, once there are five requests to be typical") {
  StageAlerts stage({{.metric = "kv_bytes", .window = 1, .max = 2, .versus_median = true}});
  CHECK(raised_by(stage, {step(1, 0, 1000)}).empty());  // nothing to compare with yet
  for (int i = 0; i < 4; ++i) CHECK(raised_by(stage, {step(1, 0, 10)}).empty());
  CHECK(raised_by(stage, {step(1, 0, 20)}).empty());
  const auto raised = raised_by(stage, {step(1, 0, 30)});
  REQUIRE(raised.size() == 1);
  CHECK(raised[0].value == 3);
}

TEST_CASE("progress - is read as it was written, with the last alerts and the count of all") {
  Progress p;
  p.state = "draining";
  p.pipeline = "nightly";
  p.cell = "a=1";
  p.elapsed_s = 12.5;
  p.rows = {.ok = 5, .error = 1, .limit = 2, .skipped = 3};
  p.rows_total = 20;
  p.sessions = 4;
  p.tokens_fed = 1'000;
  p.kv_bytes = 77;
  p.eta_s = 3.5;
  for (int i = 0; i < 30; ++i) p.add_alert("evicted", {.metric = "rebuilt", .value = i + 0.5, .limit = 0.2, .step = i});
  const auto read = parse_progress(to_json(p));
  REQUIRE(read);
  CHECK(to_json(*read) == to_json(p));
  CHECK(read->n_alerts == 30);
  CHECK(read->alerts.size() == 20);
  CHECK(read->alerts.back().second.step == 29);
  CHECK_FALSE(parse_progress("{\"state\":"));
  CHECK_FALSE(parse_progress("{}"));
  CHECK(parse_progress("{\"state\":7,\"rows\":[],\"alerts\":{},\"eta_s\":\"x\"}"));
}
