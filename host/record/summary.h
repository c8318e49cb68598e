// summary.json: what a run came to, by cell, stage and context length. Built row by row in memory that does
// not grow with the rows.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "record/distribution.h"
#include "record/gate.h"
#include "record/row.h"

namespace tenure {

struct RowCounts {
  uint64_t ok = 0, error = 0, limit = 0, skipped = 0;
  uint64_t total() const { return ok + error + limit + skipped; }
  void add(RowStatus status);
};

struct MetricSummary {
  double mean = 0;
  Interval ci95;  // of the mean
  double p50 = 0, p90 = 0, p99 = 0, max = 0;
  uint64_t n = 0;
};

struct GroupSummary {
  RowCounts n;
  std::map<std::string, MetricSummary> metrics;  // by row path; of ok rows, error rows as 0 in accuracies
};

struct ContextSummary {
  int64_t min = 0, max = 0;  // prompt tokens, both included; max is a power of two
  GroupSummary group;
};

struct CellSummary {
  std::string cell;
  Axes axes;
  std::string stage;
  std::string policy;
  GroupSummary group;
  std::vector<ContextSummary> by_context;  // ascending
};

// The smallest power of two that is not below: 4096 for 2049..4096. Prompts are made to fit a context, so a
// bucket is named by its upper end.
int64_t context_bucket(int64_t prompt_tokens);

class Summarizer {
 public:
  void add(const ResultRow& row);          // current rows only (for_each_current_row)
  std::vector<CellSummary> cells() const;  // in the order in which (cell, stage) first appeared
  const RowCounts& totals() const { return totals_; }

 private:
  struct Group {
    RowCounts n;
    std::map<std::string, Distribution> metrics;
    void add(const ResultRow& row);
    GroupSummary summarize() const;
  };
  struct Part {
    CellSummary head;
    Group all;
    std::map<int64_t, Group> by_context;
  };

  std::vector<Part> parts_;
  std::map<std::pair<std::string, std::string>, size_t> part_of_;  // (cell, stage) → parts_
  RowCounts totals_;
};

// A count of rows, or a share of all rows.
struct ErrorAllowance {
  std::optional<uint64_t> count = 0;
  std::optional<double> share;
  bool exceeded_by(const RowCounts& n) const;
};

struct Verdict {
  std::string verdict = "ok";  // ok | errors | gate_failed | stopped | failed
  int exit_code = 0;
  std::vector<std::string> reasons;
};

struct Outcome {
  RowCounts rows;
  ErrorAllowance allowed;
  std::vector<GateResult> gates;
  bool stopped = false;                // by a signal, before the end
  std::optional<std::string> failure;  // what ended the run, with failure_exit_code
  int failure_exit_code = 70;
};

// docs/pipelines.md: of several exit codes the highest-ranking one, every reason named.
Verdict judge(const Outcome& outcome);

struct Summary {
  Verdict verdict;
  uint64_t rss_peak_bytes = 0;
  uint64_t pool_peak_bytes = 0;
  uint64_t weights_bytes = 0;
  std::vector<CellSummary> cells;
  std::vector<GateSpec> gate_specs;
  std::vector<GateResult> gates;
  std::vector<std::pair<std::string, RowAlert>> alerts;  // by stage
};

std::string to_json(const Summary& summary);

// The most resident memory this process has had, in bytes.
uint64_t rss_peak_bytes();

}  // namespace tenure
