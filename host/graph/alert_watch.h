// One attempt of a request under its stage's alerts. Engine's thread.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "record/alert.h"

namespace tenure {

class AlertWatch {
 public:
  using Tell = std::function<void(const RowAlert&)>;

  // The stage outlives the watch. `tell` is called as an alert is raised, and must be quick.
  AlertWatch(StageAlerts& stage, Tell tell) : request_(stage), tell_(std::move(tell)) {}

  void step(const StepFigures& figures) { take(request_.step(figures)); }
  // The request is done, and its figures count for the stage's median.
  void end() { take(request_.end()); }
  const std::vector<RowAlert>& raised() const { return raised_; }

 private:
  void take(std::vector<RowAlert> alerts) {
    for (RowAlert& alert : alerts) {
      tell_(alert);
      raised_.push_back(std::move(alert));
    }
  }

  StageAlerts::Request request_;
  Tell tell_;
  std::vector<RowAlert> raised_;
};

}  // namespace tenure
