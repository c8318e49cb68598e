#include "record/alert.h"

#include <algorithm>

#include "record/distribution.h"

namespace tenure {
namespace {

double ratio(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

double figure_of(const std::string& metric, const StepFigures& step) {
  if (metric == "released") return static_cast<double>(step.released);
  if (metric == "rebuilt") return static_cast<double>(step.rebuilt);
  if (metric == "kv_bytes") return static_cast<double>(step.kv_bytes);
  return ratio(step.rebuilt_rows, step.rows);  // rebuild_rate
}

}  // namespace

void AlertWindow::add(const StepFigures& step) {
  ++n_steps_;
  if (is_full()) steps_.pop_front();
  steps_.push_back(step);
}

double AlertWindow::figure() const {
  if (spec_->metric == "rebuild_rate" && spec_->agg == GateAggregate::mean) {
    uint64_t rebuilt = 0, rows = 0;
    for (const StepFigures& step : steps_) {
      rebuilt += step.rebuilt_rows;
      rows += step.rows;
    }
    return ratio(rebuilt, rows);
  }
  Distribution values;
  for (const StepFigures& step : steps_) values.add(figure_of(spec_->metric, step));
  return aggregate_of(values, spec_->agg);
}

std::optional<double> StageAlerts::median(size_t alert) const {
  const std::deque<double>& ended = ended_[alert];
  if (ended.size() < fewest_ended) return std::nullopt;
  Distribution values;
  for (double value : ended) values.add(value);
  return values.quantile(0.5);
}

StageAlerts::Request::Request(StageAlerts& stage) : stage_(&stage), raised_(stage.specs_.size()) {
  for (const AlertSpec& spec : stage.specs_) windows_.emplace_back(spec);
}

std::optional<RowAlert> StageAlerts::Request::judge(size_t alert) {
  const AlertSpec& spec = stage_->specs_[alert];
  double value = windows_[alert].figure();
  if (spec.versus_median) {
    const std::optional<double> median = stage_->median(alert);
    if (!median || *median <= 0) return std::nullopt;  // nothing to be a ratio of
    value /= *median;
  }
  const bool low = spec.min && value < *spec.min;
  const bool high = spec.max && value > *spec.max;
  if (!low && !high) return std::nullopt;
  raised_[alert] = true;
  return RowAlert{.metric = spec.metric,
                  .value = value,
                  .limit = high ? *spec.max : *spec.min,
                  .step = static_cast<int64_t>(windows_[alert].n_steps())};
}

std::vector<RowAlert> StageAlerts::Request::step(const StepFigures& figures) {
  std::vector<RowAlert> raised;
  for (size_t i = 0; i < windows_.size(); ++i) {
    windows_[i].add(figures);
    if (raised_[i] || !windows_[i].is_full()) continue;
    if (auto alert = judge(i)) raised.push_back(std::move(*alert));
  }
  return raised;
}

std::vector<RowAlert> StageAlerts::Request::end() {
  std::vector<RowAlert> raised;
  for (size_t i = 0; i < windows_.size(); ++i) {
    if (windows_[i].n_steps() == 0) continue;
    if (!raised_[i] && !windows_[i].is_full()) {
      if (auto alert = judge(i)) raised.push_back(std::move(*alert));
    }
    std::deque<double>& ended = stage_->ended_[i];
    if (ended.size() == most_ended) ended.pop_front();
    ended.push_back(windows_[i].figure());
  }
  return raised;
}

}  // namespace tenure
