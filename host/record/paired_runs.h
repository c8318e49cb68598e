// Two runs side by side: the rows they share, and what changed from one to the other, metric by metric.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "record/distribution.h"

namespace tenure {

// One metric of one stage and cell over the pairs that have it on both sides. Error rows count as 0 in accuracies.
struct PairedMetric {
  Distribution a, b;
  Distribution change;  // b - a, pair by pair
};

struct PairedRuns {
  using Key = std::tuple<std::string, std::string, std::string>;  // stage, cell, metric

  std::map<Key, PairedMetric> metrics;
  uint64_t n_pairs = 0;
  uint64_t n_not_ok = 0;               // pairs of which a row is not ok
  uint64_t n_only_a = 0, n_only_b = 0;  // rows without a partner
  std::vector<std::string> only_a, only_b;  // the first few, as a person names them
};

// Joins the current rows of two results files on id, cell, stage and sample; a cell's name is its axes. Memory grows by 64
// bytes a row. Throws Error(input_missing | input_unreadable).
PairedRuns pair_runs(const std::string& results_a, const std::string& results_b);

}  // namespace tenure
