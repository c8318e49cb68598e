// What a report knows of one run: read from its directory, however far the run got.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "record/row.h"
#include "record/run_directory.h"
#include "record/summary.h"

namespace tenure {

struct CacheCurve {
  std::string cell, stage;
  std::vector<KvPoint> points;  // of the row that fed most tokens
  bool by_segment = false;      // fed_tokens counts segments then, from 1
};

struct FailedRow {
  std::string id, cell, stage, code, message, plugin, text;
};

struct GateLine {
  std::string stage, cell, status, text;
};

struct RunData {
  std::string path;
  std::string name;  // the last part of the path
  RunState state = RunState::absent;
  bool has_summary = false;
  std::string verdict;  // summary.json's; "unfinished" without one
  int exit_code = 0;
  std::vector<std::string> reasons;
  uint64_t rss_peak_bytes = 0, pool_peak_bytes = 0, weights_bytes = 0;
  std::vector<GateLine> gates;
  std::vector<std::pair<std::string, std::string>> manifest;  // dotted key → value, in order
  RowCounts totals;
  std::vector<CellSummary> cells;
  std::vector<CacheCurve> curves;
  std::vector<FailedRow> failures;  // the first max_failures
  uint64_t n_unreadable = 0;        // lines of results.jsonl that are no rows

  static constexpr size_t max_failures = 50;
};

// Reads what is there; a missing or malformed summary, manifest or tail of rows is no error. Throws
// Error(input_missing) when `path` is no directory.
RunData read_run(const std::string& path);

}  // namespace tenure
