// A pipeline from its text to its exit code; what run, resume and demo share.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/plan_loading.h"
#include "record/summary.h"

namespace tenure::cli {

struct RunWish {
  PipelineSource source;
  std::vector<std::string> plugin_dirs;  // absolute
  std::string out;                       // empty: runs/<pipeline>-<time>-<random>
  bool retry_errors = false;
  bool quiet = false;
};

struct RunOutcome {
  std::string directory;
  std::optional<Summary> summary;  // absent: the run was done already
  int exit_code = 0;
};

// Throws Error.
RunOutcome run_pipeline(const RunWish& wish);

}  // namespace tenure::cli
