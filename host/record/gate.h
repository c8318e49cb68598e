// Gates: what a run must reach. A pure function over rows; a gate without anything to judge fails.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "record/distribution.h"
#include "record/row.h"

namespace tenure {

using Axes = std::vector<std::pair<std::string, AxisValue>>;

enum class GateAggregate : uint8_t { mean, p50, p90, p99, max };
std::string_view to_string(GateAggregate);
double aggregate_of(const Distribution&, GateAggregate);

struct GateSpec {
  enum class Per : uint8_t { cell, all };  // judge each cell, or all of them in one pool

  struct Where {
    Axes axes;
    std::optional<std::string> label;                          // a request's or a segment's
    std::optional<std::pair<int64_t, int64_t>> prompt_tokens;  // both ends included
  };

  std::string stage;
  std::string metric;  // a row path
  GateAggregate agg = GateAggregate::mean;
  std::optional<double> min, max;  // bytes and milliseconds as plain numbers; with `versus` ratios
  Where where;
  Per per = Per::cell;
  std::string versus;  // a stage; the judged value is the ratio to its aggregate in the same cell
  std::optional<double>
      confidence;  // the limit must hold for the mean's bound at this (one-sided) confidence
};

struct GateResult {
  enum class Status : uint8_t { ok, failed, not_evaluable };

  size_t gate = 0;   // index into the specs
  std::string cell;  // empty for per = all and for a shared stage
  Status status = Status::not_evaluable;
  std::optional<double> value;  // of the aggregate, or the ratio
  std::optional<double> bound;  // what was compared to the limit, when `confidence` is given
  uint64_t n = 0;
  std::string text;  // one line for people
};
std::string_view to_string(GateResult::Status);

struct Cell {
  std::string name;
  Axes axes;
};

// Feed every current row once, then ask. Error rows count as 0 for accuracies (also where a `where` cannot be
// checked because the row does not get so far as to say), and for nothing otherwise; limit and skipped rows
// do not count.
class GateJudge {
 public:
  explicit GateJudge(std::vector<GateSpec> specs);

  void add(const ResultRow& row);
  // `cells`: the plan's, in order; one that left no rows is not evaluable. Without a matrix: {{"", {}}}.
  std::vector<GateResult> judge(const std::vector<Cell>& cells) const;

  const std::vector<GateSpec>& specs() const { return specs_; }

 private:
  struct Pool {
    Distribution values;
    uint64_t n_errors = 0;
  };
  using Pools = std::map<std::string, Pool>;  // by cell
  struct Sides {
    Pools own, reference;
  };

  static void add_to(Pools& pools, const GateSpec& spec, const ResultRow& row);
  GateResult judge_one(size_t gate, const std::string& cell) const;

  std::vector<GateSpec> specs_;
  std::vector<Sides> sides_;
};

bool all_passed(const std::vector<GateResult>& results);

}  // namespace tenure
