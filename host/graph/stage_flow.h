// One cell's stages as a oneTBB flow graph: readers on credits, generate and score stages as asynchronous nodes into the
// engine, one serial writer. One message is one request.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "error/error.h"
#include "graph/fidelity.h"
#include "graph/runtime.h"
#include "plan/plan.h"
#include "record/row.h"
#include "record/row_index.h"

namespace tenure {

// Figures of a running flow; any thread.
struct FlowFigures {
  uint64_t bytes_read = 0;
  uint64_t bytes_total = 0;
};

struct FlowOptions {
  const CellPlan* cell = nullptr;
  Runtime* runtime = nullptr;                // the cell is loaded
  const RowIndex* rows = nullptr;            // what earlier runs of this directory wrote
  bool retry_errors = false;
  uint32_t retries = 0;                      // of a failed request
  std::chrono::nanoseconds time_limit{0};
  std::string standard_input;                // the file "-" means
  const std::vector<AlertPlan>* alerts = nullptr;
  const FidelityTasks* fidelity = nullptr;
  // Engine's thread, as an alert is raised; must be quick.
  std::function<void(const std::string& stage, const std::string& id, const RowAlert&)> on_alert;
  std::function<void(const ResultRow&)> write;  // serial; may throw Error, which ends the flow
};

class StageFlow {
 public:
  explicit StageFlow(const FlowOptions& options);
  ~StageFlow();  // abandons what is left
  StageFlow(const StageFlow&) = delete;
  StageFlow& operator=(const StageFlow&) = delete;

  void start();
  // Waits at most so long; true when every row is written (or the flow failed and has come to rest).
  bool wait_for(std::chrono::milliseconds time);
  // No further requests are read.
  void stop_reading();
  // Drops what runs; its rows are not written.
  void abandon();
  // What a writer threw.
  std::optional<Error> failure() const;
  FlowFigures figures() const;

 private:
  class Graph;
  std::unique_ptr<Graph> graph_;
};

}  // namespace tenure
