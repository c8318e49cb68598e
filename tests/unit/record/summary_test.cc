#include "record/summary.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "record/json_value.h"
#include "record/progress.h"

using namespace tenure;

namespace {

double plain_quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  const double rank = q * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(rank);
  const size_t above = std::min(below + 1, values.size() - 1);
  return values[below] * (1 - (rank - std::floor(rank))) + values[above] * (rank - std::floor(rank));
}

ResultRow row_of(RowStatus status, int64_t prompt_tokens, std::optional<double> match,
                 std::string cell = "") {
  ResultRow row;
  row.id = "x";
  row.stage = "s";
  row.cell = std::move(cell);
  row.status = status;
  row.exact_match = match;
  row.usage = RowUsage{prompt_tokens, 5};
  return row;
}

}  // namespace

TEST_CASE(
    "distribution - agrees with plain formulas, exact below the limit and within half a percent above") {
  std::mt19937 random(5);
  for (size_t n : {1u, 2u, 3u, 100u, 8192u, 50'000u}) {
    std::lognormal_distribution<double> draw(3, 2);
    std::vector<double> values;
    Distribution d;
    for (size_t i = 0; i < n; ++i) {
      values.push_back((random() % 5 == 0 ? -1 : 1) * draw(random));
      d.add(values.back());
    }
    double sum = 0, squares = 0;
    for (double v : values) sum += v;
    const double mean = sum / static_cast<double>(n);
    for (double v : values) squares += (v - mean) * (v - mean);
    CHECK(d.n() == n);
    CHECK(d.mean() == doctest::Approx(mean));
    CHECK(d.max() == *std::max_element(values.begin(), values.end()));
    CHECK(d.min() == *std::min_element(values.begin(), values.end()));
    if (n > 1) CHECK(d.deviation() == doctest::Approx(std::sqrt(squares / static_cast<double>(n - 1))));
    for (double q : {0.0, 0.1, 0.5, 0.9, 0.99, 1.0}) {
      const double wanted = plain_quantile(values, q);
      CHECK(std::fabs(d.quantile(q) - wanted) <=
            (n <= Distribution::max_exact ? 1e-9 : 0.006) * std::fabs(wanted) + 1e-9);
    }
  }
}

TEST_CASE("distribution - a share of right answers is the exact quotient, in any order") {
  std::mt19937 random(12);
  for (int n = 1; n <= 200; ++n) {
    Distribution d;
    int right = 0;
    for (int i = 0; i < n; ++i) {
      const int value = static_cast<int>(random() % 2);
      right += value;
      d.add(value);
    }
    CHECK(d.mean() == static_cast<double>(right) / n);
  }
}

TEST_CASE("distribution - merging is adding everything to one") {
  std::mt19937 random(6);
  for (size_t n : {0u, 10u, 5000u, 9000u}) {
    for (size_t m : {0u, 7u, 5000u, 9000u}) {
      Distribution a, b, both;
      for (size_t i = 0; i < n + m; ++i) {
        const double v = static_cast<double>(random() % 100'000) / 7;
        (i < n ? a : b).add(v);
        both.add(v);
      }
      a.merge(b);
      CHECK(a.n() == both.n());
      CHECK(a.mean() == doctest::Approx(both.mean()));
      CHECK(a.deviation() == doctest::Approx(both.deviation()));
      CHECK(a.quantile(0.9) == doctest::Approx(both.quantile(0.9)));
      CHECK(a.max() == both.max());
    }
  }
}

TEST_CASE("quantiles - of the normal and Student's t are the tables' values") {
  CHECK(normal_quantile(0.975) == doctest::Approx(1.959964).epsilon(1e-6));
  CHECK(normal_quantile(0.95) == doctest::Approx(1.644854).epsilon(1e-6));
  CHECK(student_quantile(0.975, 1) == doctest::Approx(12.7062).epsilon(1e-4));
  CHECK(student_quantile(0.975, 2) == doctest::Approx(4.3027).epsilon(1e-4));
  CHECK(student_quantile(0.975, 3) == doctest::Approx(3.1824).epsilon(0.01));
  CHECK(student_quantile(0.975, 4) == doctest::Approx(2.7764).epsilon(0.003));
  CHECK(student_quantile(0.975, 10) == doctest::Approx(2.2281).epsilon(1e-4));
  CHECK(student_quantile(0.975, 100) == doctest::Approx(1.9840).epsilon(1e-4));
}

TEST_CASE("intervals - Wilson's is honest where every answer is right") {
  Distribution d;
  for (int i = 0; i < 10; ++i) d.add(1);
  CHECK(d.wilson_interval(0.95).low == doctest::Approx(0.7225).epsilon(1e-3));
  CHECK(d.wilson_interval(0.95).high == 1);
  CHECK(d.t_interval(0.95).low == 1);
}

TEST_CASE("summary - error rows are zeros in accuracies and nothing elsewhere") {
  Summarizer s;
  for (int i = 0; i < 3; ++i) s.add(row_of(RowStatus::ok, 100, 1));
  s.add(row_of(RowStatus::error, 100, std::nullopt));
  s.add(row_of(RowStatus::limit, 100, 1));
  s.add(row_of(RowStatus::skipped, 100, std::nullopt));
  const auto cells = s.cells();
  REQUIRE(cells.size() == 1);
  const GroupSummary& g = cells[0].group;
  CHECK(g.n.ok == 3);
  CHECK(g.n.total() == 6);
  CHECK(g.metrics.at("exact_match").mean == 0.75);
  CHECK(g.metrics.at("exact_match").n == 4);
  CHECK(g.metrics.at("usage.prompt_tokens").n == 3);
}

TEST_CASE("summary - context buckets are powers of two and split the rows without loss") {
  CHECK(context_bucket(1) == 1);
  CHECK(context_bucket(2) == 2);
  CHECK(context_bucket(3) == 4);
  CHECK(context_bucket(4096) == 4096);
  CHECK(context_bucket(4097) == 8192);
  Summarizer s;
  for (int64_t n = 1; n <= 5000; n += 13) s.add(row_of(RowStatus::ok, n, n % 2));
  const auto cells = s.cells();
  uint64_t n_rows = 0;
  int64_t last = 0;
  for (const ContextSummary& c : cells[0].by_context) {
    CHECK(c.min == c.max / 2 + 1);
    CHECK(c.max > last);
    last = c.max;
    CHECK(c.group.metrics.at("usage.prompt_tokens").max <= static_cast<double>(c.max));
    n_rows += c.group.n.ok;
  }
  CHECK(n_rows == cells[0].group.n.ok);
}

TEST_CASE("verdict - the highest rank wins and every reason is named") {
  Outcome outcome;
  CHECK(judge(outcome).exit_code == 0);
  outcome.gates = {{.gate = 0, .cell = "", .status = GateResult::Status::not_evaluable, .text = "nothing"}};
  CHECK(judge(outcome).exit_code == 100);
  outcome.rows = {.ok = 9, .error = 1};
  CHECK(judge(outcome).exit_code == 101);
  CHECK(judge(outcome).reasons.size() == 2);
  outcome.allowed = {.count = std::nullopt, .share = 0.1};
  CHECK(judge(outcome).exit_code == 100);
  outcome.stopped = true;
  CHECK(judge(outcome).exit_code == 75);
  outcome.failure = "disk full";
  outcome.failure_exit_code = 74;
  CHECK(judge(outcome).exit_code == 74);
}

TEST_CASE("summary.json - has the contract's keys") {
  Summarizer s;
  s.add(row_of(RowStatus::ok, 100, 1));
  Summary summary;
  summary.cells = s.cells();
  summary.gate_specs = {{.stage = "s", .metric = "exact_match", .min = 0.5}};
  GateJudge gates(summary.gate_specs);
  gates.add(row_of(RowStatus::ok, 100, 1));
  summary.gates = gates.judge({{"", {}}});
  const auto parsed = parse_json(to_json(summary));
  REQUIRE(std::holds_alternative<JsonValue>(parsed));
  const JsonValue& root = std::get<JsonValue>(parsed);
  std::vector<std::string> keys;
  for (const JsonMember& m : *root.object()) keys.push_back(m.key);
  CHECK(keys == std::vector<std::string>{"schema", "verdict", "exit_code", "reasons", "rss_peak_bytes",
                                         "pool_peak_bytes", "weights_bytes", "cells", "gates", "alerts"});
  const JsonValue& cell = root.find("cells")->array()->at(0);
  for (const char* key : {"cell", "axes", "stage", "n", "metrics", "by_context"}) CHECK(cell.find(key));
  CHECK(cell.at_path("n.ok")->integer() == 1);
  const JsonValue* metric = cell.find("metrics")->find("exact_match");
  for (const char* key : {"mean", "ci95", "p50", "p90", "p99", "max", "n"}) CHECK(metric->find(key));
  CHECK(*root.find("gates")->array()->at(0).find("status")->string() == "ok");
}

TEST_CASE("token rate - follows the last minute and never runs backwards") {
  TokenRate rate;
  CHECK_FALSE(rate.eta_s(100));
  for (int t = 0; t <= 100; ++t) rate.add(t, static_cast<uint64_t>(t) * 10);
  CHECK(rate.per_second() == doctest::Approx(10));
  for (int t = 101; t <= 200; ++t) rate.add(t, 1000 + static_cast<uint64_t>(t - 100) * 40);
  CHECK(rate.per_second() == doctest::Approx(40));
  CHECK(*rate.eta_s(400) == doctest::Approx(10));
  rate.add(50, 9'999'999);
  CHECK(rate.per_second() == doctest::Approx(40));
}

TEST_CASE("metrics.prom - every sample line follows a TYPE of its name and labels are escaped") {
  Progress p;
  p.pipeline = "a\"b\\c\nd";
  p.rows = {.ok = 3, .error = 1};
  const std::string text = to_prometheus(p);
  CHECK(text.find("tenure_rows{pipeline=\"a\\\"b\\\\c\\nd\",status=\"ok\"} 3\n") != std::string::npos);
  CHECK(text.find("tenure_eta_seconds{pipeline=\"a\\\"b\\\\c\\nd\"} NaN\n") != std::string::npos);
  std::string family;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    const std::string line = text.substr(at, end - at);
    if (line.starts_with("# TYPE ")) family = line.substr(7, line.find(' ', 7) - 7);
    if (!line.starts_with('#')) CHECK(line.substr(0, line.find('{')) == family);
    at = end + 1;
  }
  CHECK(std::holds_alternative<JsonValue>(parse_json(to_json(p))));
}
