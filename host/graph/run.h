// A whole run: every cell in order, rows as they come, figures each second, then summary, gates, views and DONE.
#pragma once

#include <atomic>
#include <functional>
#include <string>

#include "graph/runtime.h"
#include "plan/plan.h"
#include "record/progress.h"
#include "record/run_directory.h"
#include "record/summary.h"

namespace tenure {

struct RunOptions {
  const Plan* plan = nullptr;
  RunDirectory* directory = nullptr;
  Runtime* runtime = nullptr;
  bool retry_errors = false;
  std::string standard_input;             // the file that "-" means
  const std::atomic<bool>* stop = nullptr;  // set by a signal: drain
  std::function<void(const Progress&)> show;  // each tick, on the calling thread
  std::function<void(const std::string& text)> tell;  // an alert, at the next tick, on the calling thread
};

// Blocks the calling thread, which does no work of the graph. Throws Error for what ends a run (65, 66, 69, 74, 78).
Summary run_plan(const RunOptions& options);

}  // namespace tenure
