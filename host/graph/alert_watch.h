// A stage's alerts, and one attempt of a request under them.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "plan/plan.h"
#include "record/alert.h"

namespace tenure {

// What the plan's alerts ask of a stage.
std::vector<AlertSpec> alert_specs(const std::vector<AlertPlan>& alerts, const std::string& stage);

// Engine's thread.
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
  void take(std::vector<RowAlert> alerts);

  StageAlerts::Request request_;
  Tell tell_;
  std::vector<RowAlert> raised_;
};

}  // namespace tenure
