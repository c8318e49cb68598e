#include "graph/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "error/error.h"
#include "graph/axis_value.h"
#include "graph/comparisons.h"
#include "graph/stage_flow.h"
#include "record/gate.h"
#include "record/row_view.h"

namespace tenure {
namespace {

using Clock = std::chrono::steady_clock;

// How often stop requests are looked at, and figures shown and written.
constexpr auto poll = std::chrono::milliseconds(50);
constexpr auto tick = std::chrono::seconds(1);
constexpr size_t most_told = 10;        // alerts a tick; the others are counted
constexpr size_t most_summarized = 100;  // alerts in summary.json; each row has its own

SyncPolicy sync_policy(const RunPlan& run) {
  SyncPolicy sync;
  sync.when = run.sync == SyncMode::record   ? SyncPolicy::When::record
              : run.sync == SyncMode::none ? SyncPolicy::When::none
                                           : SyncPolicy::When::interval;
  sync.interval = std::chrono::duration_cast<std::chrono::milliseconds>(run.sync_interval);
  return sync;
}

GateSpec gate_spec(const GatePlan& gate) {
  GateSpec spec;
  spec.stage = gate.stage;
  spec.metric = gate.metric;
  spec.agg = static_cast<GateAggregate>(gate.aggregate);
  spec.min = gate.min;
  spec.max = gate.max;
  for (const auto& [axis, text] : gate.where_axes) spec.where.axes.emplace_back(axis, axis_value(text));
  if (!gate.where_label.empty()) spec.where.label = gate.where_label;
  if (gate.where_prompt_tokens) {
    spec.where.prompt_tokens = {static_cast<int64_t>(gate.where_prompt_tokens->first),
                                static_cast<int64_t>(gate.where_prompt_tokens->second)};
  }
  spec.per = gate.per == GatePer::cell ? GateSpec::Per::cell : GateSpec::Per::all;
  spec.versus = gate.versus;
  spec.confidence = gate.confidence;
  return spec;
}
static_assert(static_cast<int>(Aggregate::mean) == static_cast<int>(GateAggregate::mean) &&
              static_cast<int>(Aggregate::max) == static_cast<int>(GateAggregate::max));

ErrorAllowance allowance(const RunPlan& run) {
  ErrorAllowance allowed;
  allowed.share = run.max_error_share;
  allowed.count = run.max_error_share ? std::nullopt : std::optional<uint64_t>(run.max_errors);
  return allowed;
}

class PlanRun {
 public:
  explicit PlanRun(const RunOptions& options)
      : options_(options),
        plan_(*options.plan),
        writer_(options.directory->open_rows(sync_policy(plan_.run))),
        comparisons_(plan_, options.directory->results_path()),
        fidelity_(plan_, options.directory->file("logits")) {
    progress_.pipeline = plan_.name;
  }

  Summary run() {
    count_earlier_rows();
    for (const CellPlan& cell : plan_.cells) {
      if (stopped_ || failure_) break;
      run_cell(cell);
      if (!stopped_ && !failure_) compare(cell);
    }
    return finish();
  }

 private:
  void count_earlier_rows();
  void run_cell(const CellPlan& cell);
  void compare(const CellPlan& cell);
  void wait(StageFlow& flow, const CellPlan& cell);
  void write(const ResultRow& row);
  void note_alert(const std::string& stage, const std::string& id, const RowAlert& alert);
  void tell_alerts();
  void report(StageFlow& flow, const CellPlan& cell);
  Summary finish();
  void judge(Summary& summary);

  const RunOptions& options_;
  const Plan& plan_;
  RowWriter writer_;
  Comparisons comparisons_;
  FidelityTasks fidelity_;
  std::mutex mutex_;       // rows and events of progress_: the writer's node and the waiting thread
  Progress progress_;
  std::vector<std::string> untold_;  // alerts since the last tick, the first few; guarded by mutex_
  uint64_t n_told_ = 0;              // alerts that tell_alerts() spoke for
  TokenRate fed_rate_, generated_rate_;
  uint64_t fed_before_ = 0, generated_before_ = 0;  // by earlier cells' engines
  uint64_t pool_peak_ = 0;
  uint64_t weights_bytes_ = 0;
  Clock::time_point began_ = Clock::now();
  bool stopped_ = false;
  std::optional<Error> failure_;
};

void PlanRun::count_earlier_rows() {
  const RowIndex& earlier = options_.directory->rows();
  if (earlier.size() == 0) return;
  for_each_current_row(options_.directory->results_path(), [&](const ResultRow& row, std::string_view) {
    progress_.rows.add(row.status);
    comparisons_.note(row, earlier.find(row.id, row.cell, row.stage, row.sample)->offset);
  });
}

void PlanRun::write(const ResultRow& row) {
  const uint64_t offset = writer_.n_bytes();
  writer_.write(row);
  comparisons_.note(row, offset);
  const std::lock_guard lock(mutex_);
  progress_.rows.add(row.status);
  if (!row.events) return;
  progress_.released += static_cast<uint64_t>(row.events->released);
  progress_.rebuilt += static_cast<uint64_t>(row.events->rebuilt);
}

void PlanRun::note_alert(const std::string& stage, const std::string& id, const RowAlert& alert) {
  const std::lock_guard lock(mutex_);
  progress_.add_alert(stage, alert);
  if (untold_.size() < most_told) {
    untold_.push_back(fmt::format("{}, request \"{}\": {} is {:.4g} at step {}, limit {:.4g}", stage, id, alert.metric, alert.value,
                                  alert.step, alert.limit));
  }
}

void PlanRun::tell_alerts() {
  std::vector<std::string> texts;
  uint64_t n_new = 0;
  {
    const std::lock_guard lock(mutex_);
    texts.swap(untold_);
    n_new = progress_.n_alerts - n_told_;
    n_told_ = progress_.n_alerts;
  }
  if (!options_.tell) return;
  for (const std::string& text : texts) options_.tell(text);
  if (n_new > texts.size()) options_.tell(fmt::format("and {} more", n_new - texts.size()));
}

void PlanRun::run_cell(const CellPlan& cell) {
  const bool has_work = std::any_of(cell.stages.begin(), cell.stages.end(), [](const StagePlan& stage) {
    return stage.kind == StageKind::generate || stage.kind == StageKind::score;
  });
  if (!has_work) return;
  options_.runtime->load(cell);
  weights_bytes_ = options_.runtime->model().weights_bytes();
  progress_.kv_limit_bytes = cell.engine.memory;
  {
    StageFlow flow({.cell = &cell,
                    .runtime = options_.runtime,
                    .rows = &options_.directory->rows(),
                    .retry_errors = options_.retry_errors,
                    .retries = plan_.run.retries,
                    .time_limit = plan_.run.time_limit,
                    .standard_input = options_.standard_input,
                    .alerts = &plan_.alerts,
                    .fidelity = &fidelity_,
                    .on_alert = [this](const std::string& stage, const std::string& id,
                                       const RowAlert& alert) { note_alert(stage, id, alert); },
                    .write = [this](const ResultRow& row) { write(row); }});
    flow.start();
    wait(flow, cell);
    failure_ = flow.failure();
    report(flow, cell);
  }
  const EngineFigures figures = options_.runtime->engine().figures();
  fed_before_ += figures.n_prefilled;
  generated_before_ += figures.n_decoded;
  options_.runtime->stop_engine();
}

void PlanRun::compare(const CellPlan& cell) {
  const auto is_stopping = [&] { return options_.stop != nullptr && *options_.stop; };
  try {
    comparisons_.join(cell, [&](const ResultRow& row) { write(row); }, [&] { return !is_stopping(); });
  } catch (const Error& error) {
    failure_ = error;
  }
  if (is_stopping()) stopped_ = true;
}

void PlanRun::wait(StageFlow& flow, const CellPlan& cell) {
  Clock::time_point next_report = Clock::now();
  std::optional<Clock::time_point> drain_ends;
  while (!flow.wait_for(poll)) {
    const Clock::time_point now = Clock::now();
    if (options_.stop != nullptr && *options_.stop && !drain_ends) {
      flow.stop_reading();
      stopped_ = true;
      progress_.state = "draining";
      drain_ends = now + plan_.run.drain;
    }
    // What still runs could not be written.
    if (flow.failure() || (drain_ends && now > *drain_ends)) return flow.abandon();
    if (now < next_report) continue;
    next_report = now + tick;
    report(flow, cell);
    writer_.sync_if_due();
  }
  if (options_.stop != nullptr && *options_.stop) stopped_ = true;
}

void PlanRun::report(StageFlow& flow, const CellPlan& cell) {
  const EngineFigures figures = options_.runtime->engine().figures();
  const FlowFigures read = flow.figures();
  const double now = std::chrono::duration<double>(Clock::now() - began_).count();
  pool_peak_ = std::max(pool_peak_, figures.kv_peak_bytes);
  Progress shown;
  {
    const std::lock_guard lock(mutex_);
    progress_.cell = cell.name;
    progress_.elapsed_s = now;
    progress_.sessions = figures.n_active;
    progress_.tokens_fed = fed_before_ + figures.n_prefilled;
    progress_.tokens_generated = generated_before_ + figures.n_decoded;
    progress_.kv_bytes = figures.kv_bytes;
    progress_.kv_peak_bytes = pool_peak_;
    fed_rate_.add(now, progress_.tokens_fed);
    generated_rate_.add(now, progress_.tokens_generated);
    progress_.prefill_tps = fed_rate_.per_second();
    progress_.decode_tps = generated_rate_.per_second();
    // What is left of the input, in tokens, as far as what was read tells.
    if (read.bytes_read > 0 && read.bytes_total >= read.bytes_read) {
      const double left = static_cast<double>(read.bytes_total - read.bytes_read) / static_cast<double>(read.bytes_read);
      progress_.eta_s = fed_rate_.eta_s(static_cast<uint64_t>(static_cast<double>(progress_.tokens_fed) * left));
    }
    shown = progress_;
  }
  options_.directory->write_progress(to_json(shown));
  options_.directory->write_metrics(to_prometheus(shown));
  tell_alerts();
  if (options_.show) options_.show(shown);
}

void PlanRun::judge(Summary& summary) {
  std::vector<GateSpec> specs;
  for (const GatePlan& gate : plan_.gates) specs.push_back(gate_spec(gate));
  GateJudge judge(specs);
  Summarizer summarizer;
  for_each_current_row(options_.directory->results_path(), [&](const ResultRow& row, std::string_view) {
    summarizer.add(row);
    judge.add(row);
    for (const RowAlert& alert : row.alerts) {
      if (summary.alerts.size() < most_summarized) summary.alerts.emplace_back(row.stage, alert);
    }
  });
  summary.cells = summarizer.cells();
  std::vector<Cell> cells;
  for (const CellPlan& cell : plan_.cells) {
    Cell judged{.name = cell.name, .axes = {}};
    for (const auto& [axis, text] : cell.axes) judged.axes.emplace_back(axis, axis_value(text));
    cells.push_back(std::move(judged));
  }
  Outcome outcome;
  outcome.rows = summarizer.totals();
  outcome.allowed = allowance(plan_.run);
  outcome.stopped = stopped_;
  if (failure_) {
    outcome.failure = failure_->diagnostics().front().text;
    outcome.failure_exit_code = failure_->exit_code();
  }
  if (!stopped_ && !failure_) {
    summary.gate_specs = specs;
    summary.gates = judge.judge(cells);
    outcome.gates = summary.gates;
  }
  summary.verdict = tenure::judge(outcome);
}

Summary PlanRun::finish() {
  if (!failure_) writer_.sync();
  Summary summary;
  summary.rss_peak_bytes = rss_peak_bytes();
  summary.pool_peak_bytes = pool_peak_;
  summary.weights_bytes = weights_bytes_;
  judge(summary);
  const bool whole = !stopped_ && !failure_;
  progress_.state = whole ? "done" : stopped_ ? "stopped" : "failed";
  progress_.sessions = 0;
  progress_.eta_s.reset();
  if (failure_ && failure_->exit_code() == exit_io) return summary;  // the disk is full: nothing more can be written
  options_.directory->write_progress(to_json(progress_));
  options_.directory->write_metrics(to_prometheus(progress_));
  options_.directory->write_summary(to_json(summary));
  if (!whole) return summary;
  fidelity_.logits().remove_all();
  for (const StagePlan& stage : plan_.writers) {
    const auto& plan = std::get<WritePlan>(stage.work);
    write_view({.stages = stage.from,
                .fields = plan.fields,
                .format = plan.format == RowFormat::openai ? RowView::Format::openai : RowView::Format::tenure},
               options_.directory->results_path(), options_.directory->file(plan.path));
  }
  options_.directory->write_done(writer_.n_rows() + options_.directory->rows().size(), writer_.n_bytes());
  return summary;
}

}  // namespace

Summary run_plan(const RunOptions& options) { return PlanRun(options).run(); }

}  // namespace tenure
