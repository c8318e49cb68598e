// `tenure compare --fail-if`: a limit on what changed from run A to run B.
//
//   [stage/]metric (<|>) [-]N[%|pp] [@C%]
//
// "answers/exact_match < -2pp @95%" holds when the 95 % interval of the mean change lies below -0.02 as a whole;
// "kv.peak_bytes > 5%" when the mean change is more than a twentieth of A's mean.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "record/distribution.h"
#include "record/paired_runs.h"

namespace tenure {

struct ChangeLimit {
  enum class Unit : uint8_t { plain, percent, points };  // of the metric; of A's mean; hundredths of a share

  std::string text;    // as it was given
  std::string stage;   // empty: every stage that has the metric
  std::string metric;  // a row path
  bool is_upper = false;  // ">": a change above it is one too many
  double limit = 0;       // in `unit`
  Unit unit = Unit::plain;
  std::optional<double> confidence;  // in (0, 1), two-sided
};

// The limit, or what is wrong with the text.
std::variant<ChangeLimit, std::string> parse_change_limit(std::string_view text);

// A limit held against one stage and cell.
struct ChangeVerdict {
  std::string stage, cell, metric;
  double change = 0;        // in the limit's unit
  Interval interval;        // of it; the change itself without `confidence`
  uint64_t n = 0;
  bool holds = false;
  std::string cannot;  // why nothing can be said; empty when it can
};

// One verdict for each stage and cell that has the metric; a single one with `cannot` when there is none.
std::vector<ChangeVerdict> judge(const ChangeLimit& limit, const PairedRuns& runs);

}  // namespace tenure
