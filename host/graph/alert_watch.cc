#include "graph/alert_watch.h"

namespace tenure {

std::vector<AlertSpec> alert_specs(const std::vector<AlertPlan>& alerts, const std::string& stage) {
  std::vector<AlertSpec> specs;
  for (const AlertPlan& alert : alerts) {
    if (alert.stage != stage) continue;
    specs.push_back({.metric = alert.metric,
                     .agg = static_cast<GateAggregate>(alert.aggregate),
                     .window = alert.window,
                     .min = alert.min,
                     .max = alert.max,
                     .versus_median = alert.versus_median});
  }
  return specs;
}

void AlertWatch::take(std::vector<RowAlert> alerts) {
  for (RowAlert& alert : alerts) {
    tell_(alert);
    raised_.push_back(std::move(alert));
  }
}

}  // namespace tenure
