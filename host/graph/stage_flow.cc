#include "graph/stage_flow.h"

#include <fmt/format.h>
#include <oneapi/tbb/flow_graph.h>
#include <oneapi/tbb/task_arena.h>

#include <algorithm>
#include <map>

#include "graph/alert_watch.h"
#include "graph/axis_value.h"
#include "graph/prompt_settings.h"
#include "graph/request_source.h"
#include "session/prompt.h"
#include "session/row.h"

namespace tenure {
namespace {

namespace flow = tbb::flow;

// A request on its way through the stages of its reader; it holds a credit until its last row is written.
struct Passage {
  ParsedRequest request;
  std::atomic<uint32_t> n_open{0};  // rows to come, and stages that have not yet said how many
};
using PassagePtr = std::shared_ptr<Passage>;

// A session's outcome, or an error that came before one.
struct Outcome {
  PassagePtr passage;
  size_t stage = 0;
  std::shared_ptr<const SessionScript> script;  // null: `result.error` came before there was one
  SessionResult result;
  std::vector<RowAlert> alerts;
  int64_t attempt = 1;
};
using OutcomePtr = std::shared_ptr<Outcome>;

struct Written {
  PassagePtr passage;
  ResultRow row;
};
using WrittenPtr = std::shared_ptr<Written>;

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

// Enough requests to keep every session busy while rows of finished ones are still on their way.
uint32_t credits_for(uint32_t in_flight) { return in_flight > 0 ? 2 * in_flight : 128; }

}  // namespace

class StageFlow::Graph {
 public:
  explicit Graph(const FlowOptions& options);
  void start();
  bool wait_for(std::chrono::milliseconds time);
  void stop_reading() { stopping_ = true; }
  void abandon();
  std::optional<Error> failure() const;
  FlowFigures figures() const;

 private:
  using StageNode = flow::async_node<PassagePtr, OutcomePtr>;
  using Gateway = StageNode::gateway_type;
  struct Work {  // a generate or score stage
    const StagePlan* plan = nullptr;
    PromptSettings settings;
    RowOrigin origin;
    std::unique_ptr<StageAlerts> alerts;
    std::unique_ptr<StageNode> node;
  };
  struct Reader {
    const StagePlan* plan = nullptr;
    std::unique_ptr<RequestSource> source;
    uint32_t n_stages = 0;
    std::atomic<uint64_t> bytes_read{0};  // readers run side by side
    std::unique_ptr<flow::input_node<PassagePtr>> input;
    std::unique_ptr<flow::limiter_node<PassagePtr>> credits;
  };
  // Keeps the graph alive while a job is in the engine, also when the engine drops it.
  class Held {
   public:
    explicit Held(Gateway& gateway) : gateway_(gateway) { gateway_.reserve_wait(); }
    ~Held() { gateway_.release_wait(); }
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    Gateway& gateway() { return gateway_; }

   private:
    Gateway& gateway_;
  };

  void build();
  PassagePtr read(Reader& reader, tbb::flow_control& control);
  void enter(size_t stage, const PassagePtr& passage, Gateway& gateway);
  void submit(size_t stage, const PassagePtr& passage, std::shared_ptr<const SessionScript> script, int64_t attempt,
              uint32_t n_tries, const std::shared_ptr<Held>& held);
  std::shared_ptr<AlertWatch> watch(size_t stage, Job& job);
  void refuse(size_t stage, const PassagePtr& passage, RowError error, Gateway& gateway);
  WrittenPtr to_row(const OutcomePtr& outcome) const;
  void write(const WrittenPtr& written);
  void close(const PassagePtr& passage, uint32_t n);
  void fail(const Error& error);
  void finish_reading();

  FlowOptions options_;
  PromptMaker prompts_;
  tbb::task_arena arena_{2, 0};
  std::unique_ptr<flow::graph> graph_;
  std::vector<Work> stages_;
  std::map<std::string, Reader> readers_;
  std::map<const Passage*, Reader*> reader_of_;  // guarded by mutex_
  std::unique_ptr<flow::function_node<OutcomePtr, WrittenPtr>> rows_;
  std::unique_ptr<flow::function_node<WrittenPtr>> writer_;

  std::atomic<bool> stopping_{false};
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  uint32_t n_reading_ = 0;           // readers that may still give; guarded by mutex_
  std::optional<Error> failure_;     // guarded by mutex_
  uint64_t bytes_total_ = 0;
};

StageFlow::Graph::Graph(const FlowOptions& options)
    : options_(options),
      prompts_(options.runtime->language(), options.runtime->model_info().config().n_ctx) {
  const CellPlan& cell = *options_.cell;
  for (const StagePlan& stage : cell.stages) {
    if (const auto* read = std::get_if<ReadPlan>(&stage.work)) {
      Reader& reader = readers_[stage.id];
      reader.plan = &stage;
      reader.source = std::make_unique<RequestSource>(stage, expand_paths(read->paths, options_.standard_input));
      bytes_total_ += reader.source->bytes_total();
      continue;
    }
    if (stage.kind == StageKind::compare) continue;  // joined from written rows
    Work work{.plan = &stage, .settings = prompt_settings(stage, *options_.runtime, options_.time_limit), .origin = {}, .alerts = nullptr, .node = nullptr};
    work.alerts = std::make_unique<StageAlerts>(alert_specs(*options_.alerts, stage.id));
    work.origin = {.cell = cell.name,
                   .axes = {},
                   .stage = stage.id,
                   .determinism = std::string(name_of(cell.engine.determinism)),
                   .attempt = 1,
                   .scores = stage.kind == StageKind::score};
    for (const auto& [path, text] : cell.axes) work.origin.axes.emplace_back(path, axis_value(text));
    stages_.push_back(std::move(work));
  }
  arena_.execute([this] { build(); });
}

void StageFlow::Graph::build() {
  graph_ = std::make_unique<flow::graph>();
  writer_ = std::make_unique<flow::function_node<WrittenPtr>>(*graph_, flow::serial, [this](const WrittenPtr& w) {
    write(w);
    return flow::continue_msg();
  });
  rows_ = std::make_unique<flow::function_node<OutcomePtr, WrittenPtr>>(
      *graph_, flow::unlimited, [this](const OutcomePtr& outcome) { return to_row(outcome); });
  flow::make_edge(*rows_, *writer_);
  for (size_t i = 0; i < stages_.size(); ++i) {
    stages_[i].node = std::make_unique<StageNode>(
        *graph_, flow::unlimited, [this, i](const PassagePtr& passage, Gateway& gateway) { enter(i, passage, gateway); });
    flow::make_edge(*stages_[i].node, *rows_);
  }
  for (auto& [id, reader] : readers_) {
    Reader& r = reader;
    reader.input = std::make_unique<flow::input_node<PassagePtr>>(
        *graph_, [this, &r](tbb::flow_control& control) { return read(r, control); });
    reader.credits = std::make_unique<flow::limiter_node<PassagePtr>>(*graph_, credits_for(options_.cell->engine.in_flight));
    flow::make_edge(*reader.input, *reader.credits);
    for (Work& work : stages_) {
      if (work.plan->from.front() != id) continue;
      flow::make_edge(*reader.credits, *work.node);
      ++reader.n_stages;
    }
  }
}

void StageFlow::Graph::start() {
  n_reading_ = static_cast<uint32_t>(readers_.size());
  for (auto& [id, reader] : readers_) reader.input->activate();
}

void StageFlow::Graph::finish_reading() {
  {
    const std::lock_guard lock(mutex_);
    --n_reading_;
  }
  changed_.notify_all();
}

PassagePtr StageFlow::Graph::read(Reader& reader, tbb::flow_control& control) {
  // Nothing may escape a body: it would cancel the whole graph.
  try {
    if (!stopping_ && reader.n_stages > 0) {
      if (std::optional<ParsedRequest> request = reader.source->next()) {
        auto passage = std::make_shared<Passage>();
        passage->request = std::move(*request);
        passage->n_open = reader.n_stages;
        reader.bytes_read = reader.source->bytes_read();
        const std::lock_guard lock(mutex_);
        reader_of_[passage.get()] = &reader;
        return passage;
      }
    }
  } catch (const Error& error) {
    fail(error);
  } catch (const std::exception& error) {
    fail(Error(Code::internal, error.what()));
  }
  control.stop();
  finish_reading();
  return {};
}

void StageFlow::Graph::refuse(size_t stage, const PassagePtr& passage, RowError error, Gateway& gateway) {
  auto outcome = std::make_shared<Outcome>();
  outcome->passage = passage;
  outcome->stage = stage;
  outcome->result.error = std::move(error);
  gateway.try_put(outcome);
}

void StageFlow::Graph::enter(size_t index, const PassagePtr& passage, Gateway& gateway) {
  const Work& stage = stages_[index];
  const std::string& cell = options_.cell->name;
  const auto done = [&](const std::string& id, uint32_t sample) {
    return options_.rows->is_done(id, cell, stage.plan->id, sample, options_.retry_errors);
  };
  try {
    if (const auto* bad = std::get_if<RequestError>(&passage->request)) {
      if (done(bad->id, 0)) return close(passage, 1);
      return refuse(index, passage, {.code = bad->code, .message = fmt::format("line {}: {}", bad->line, bad->message)}, gateway);
    }
    const Request& request = std::get<Request>(passage->request);
    const auto n_samples = static_cast<uint32_t>(request.options.samples.value_or(stage.settings.samples));
    std::vector<uint32_t> samples;
    for (uint32_t sample = 0; sample < n_samples; ++sample) {
      if (!done(request.id, sample)) samples.push_back(sample);
    }
    if (samples.empty()) return close(passage, 1);
    std::variant<SessionScript, RowError> made = prompts_.make(request, stage.settings, cell);
    if (auto* error = std::get_if<RowError>(&made)) {
      // However many samples were asked for, the one row of a refusal is sample 0's.
      if (done(request.id, 0)) return close(passage, 1);
      return refuse(index, passage, std::move(*error), gateway);
    }
    passage->n_open += static_cast<uint32_t>(samples.size()) - 1;
    const auto held = std::make_shared<Held>(gateway);
    for (uint32_t sample : samples) {
      auto script = std::make_shared<const SessionScript>(PromptMaker::sample_of(std::get<SessionScript>(made), sample));
      const int64_t attempt = options_.rows->next_attempt(request.id, cell, stage.plan->id, sample);
      submit(index, passage, std::move(script), attempt, 0, held);
    }
  } catch (const std::exception& error) {
    refuse(index, passage, {.code = RowCode::internal, .message = error.what()}, gateway);
  }
}

// Null where the stage has no alerts; else the job's script tells the watch of each step.
std::shared_ptr<AlertWatch> StageFlow::Graph::watch(size_t stage, Job& job) {
  if (stages_[stage].alerts->empty()) return nullptr;
  const std::string& id = stages_[stage].plan->id;
  auto watch = std::make_shared<AlertWatch>(
      *stages_[stage].alerts, [this, &id, request = job.script->id](const RowAlert& alert) { options_.on_alert(id, request, alert); });
  auto script = std::make_shared<SessionScript>(*job.script);
  script->on_step = [watch](const StepFigures& step) { watch->step(step); };
  job.script = std::move(script);
  return watch;
}

void StageFlow::Graph::submit(size_t stage, const PassagePtr& passage, std::shared_ptr<const SessionScript> script,
                              int64_t attempt, uint32_t n_tries, const std::shared_ptr<Held>& held) {
  auto job = std::make_unique<Job>();
  job->script = script;
  const std::shared_ptr<AlertWatch> watching = watch(stage, *job);
  job->on_done = [this, stage, passage, script, attempt, n_tries, held, watching](SessionResult&& result) {
    const bool failed = result.error && !result.policy_dropped && status_of(result.error->code) == RowStatus::error;
    if (failed && n_tries < options_.retries) return submit(stage, passage, script, attempt + 1, n_tries + 1, held);
    auto outcome = std::make_shared<Outcome>();
    outcome->passage = passage;
    outcome->stage = stage;
    outcome->script = script;
    if (watching && !result.error) watching->end();
    if (watching) outcome->alerts = watching->raised();
    outcome->result = std::move(result);
    outcome->attempt = attempt;
    held->gateway().try_put(outcome);
  };
  options_.runtime->engine().submit(std::move(job));
}

WrittenPtr StageFlow::Graph::to_row(const OutcomePtr& outcome) const {
  auto written = std::make_shared<Written>();
  written->passage = outcome->passage;
  const Work& stage = stages_[outcome->stage];
  RowOrigin origin = stage.origin;
  origin.attempt = outcome->attempt;
  const auto* request = std::get_if<Request>(&outcome->passage->request);
  const std::string& id = request != nullptr ? request->id : std::get<RequestError>(outcome->passage->request).id;
  try {
    if (outcome->script) {
      written->row = make_row(*request, *outcome->script, std::move(outcome->result), origin);
      written->row.alerts = std::move(outcome->alerts);
    } else {
      origin.attempt = options_.rows->next_attempt(id, options_.cell->name, stage.plan->id, 0);
      written->row = make_error_row(id, stage.settings.policy->name, std::move(*outcome->result.error), origin);
    }
  } catch (const std::exception& error) {
    written->row = make_error_row(id, stage.settings.policy->name, {.code = RowCode::internal, .message = error.what()}, origin);
  }
  return written;
}

void StageFlow::Graph::write(const WrittenPtr& written) {
  try {
    if (!failure()) options_.write(written->row);
  } catch (const Error& error) {
    fail(error);
  } catch (const std::exception& error) {
    fail(Error(Code::internal, error.what()));
  }
  close(written->passage, 1);
}

// n rows of the passage need nothing more; the last one gives the credit back.
void StageFlow::Graph::close(const PassagePtr& passage, uint32_t n) {
  if (passage->n_open.fetch_sub(n) != n) return;
  Reader* reader = nullptr;
  {
    const std::lock_guard lock(mutex_);
    reader = reader_of_.at(passage.get());
    reader_of_.erase(passage.get());
  }
  reader->credits->decrementer().try_put(flow::continue_msg());
  changed_.notify_all();
}

void StageFlow::Graph::fail(const Error& error) {
  {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = error;
  }
  stopping_ = true;
  changed_.notify_all();
}

bool StageFlow::Graph::wait_for(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  const bool idle = changed_.wait_for(lock, time, [&] { return n_reading_ == 0 && reader_of_.empty(); });
  lock.unlock();
  if (idle) graph_->wait_for_all();
  return idle;
}

void StageFlow::Graph::abandon() {
  stopping_ = true;
  options_.runtime->engine().abandon();
  graph_->wait_for_all();
}

std::optional<Error> StageFlow::Graph::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

FlowFigures StageFlow::Graph::figures() const {
  FlowFigures figures{.bytes_read = 0, .bytes_total = bytes_total_};
  for (const auto& [id, reader] : readers_) figures.bytes_read += reader.bytes_read;
  return figures;
}

StageFlow::StageFlow(const FlowOptions& options) : graph_(std::make_unique<Graph>(options)) {}
StageFlow::~StageFlow() { graph_->abandon(); }
void StageFlow::start() { graph_->start(); }
bool StageFlow::wait_for(std::chrono::milliseconds time) { return graph_->wait_for(time); }
void StageFlow::stop_reading() { graph_->stop_reading(); }
void StageFlow::abandon() { graph_->abandon(); }
std::optional<Error> StageFlow::failure() const { return graph_->failure(); }
FlowFigures StageFlow::figures() const { return graph_->figures(); }

}  // namespace tenure
