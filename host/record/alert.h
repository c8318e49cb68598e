// Alerts: figures of a running request that leave their limits. They tell, and change nothing. Engine's thread.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "record/gate.h"
#include "record/row.h"

namespace tenure {

// One forward that a session was part of: a chunk of its prompt or a decode step.
struct StepFigures {
  uint64_t rows = 0;  // forwarded, rebuilt ones included
  uint64_t rebuilt_rows = 0;
  uint64_t released = 0;  // slots, over layers and KV heads
  uint64_t rebuilt = 0;
  uint64_t kv_bytes = 0;  // of the request, afterwards
};

struct AlertSpec {
  std::string metric;  // released | rebuilt | rebuild_rate | kv_bytes
  GateAggregate agg = GateAggregate::mean;
  uint32_t window = 50;  // steps
  std::optional<double> min, max;
  bool versus_median = false;  // limits are ratios to the median over the stage's requests that are done
};

// The figure over the last `window` steps. rebuild_rate's mean is rebuilt rows ÷ rows forwarded, over the whole window.
class AlertWindow {
 public:
  explicit AlertWindow(const AlertSpec& spec) : spec_(&spec) {}

  void add(const StepFigures& step);
  bool is_full() const { return steps_.size() == spec_->window; }
  double figure() const;  // 0 before the first step
  uint64_t n_steps() const { return n_steps_; }

 private:
  const AlertSpec* spec_;
  std::deque<StepFigures> steps_;
  uint64_t n_steps_ = 0;
};

// The alerts of one stage.
class StageAlerts {
 public:
  explicit StageAlerts(std::vector<AlertSpec> specs) : specs_(std::move(specs)), ended_(specs_.size()) {}
  StageAlerts(const StageAlerts&) = delete;
  StageAlerts& operator=(const StageAlerts&) = delete;

  bool empty() const { return specs_.empty(); }

  // One request's steps. Each alert is judged over full windows and raised at most once; a request that ends before its
  // first full window is judged over what there was.
  class Request {
   public:
    explicit Request(StageAlerts& stage);  // the stage outlives it
    // What the step raised.
    std::vector<RowAlert> step(const StepFigures& figures);
    std::vector<RowAlert> end();

   private:
    std::optional<RowAlert> judge(size_t alert);

    StageAlerts* stage_;
    std::vector<AlertWindow> windows_;  // one an alert
    std::vector<bool> raised_;
  };

 private:
  static constexpr size_t fewest_ended = 5;   // for a median
  static constexpr size_t most_ended = 1024;  // the last ones are enough

  std::optional<double> median(size_t alert) const;

  std::vector<AlertSpec> specs_;
  std::vector<std::deque<double>> ended_;  // by alert: the last figure of each request that is done
};

}  // namespace tenure
