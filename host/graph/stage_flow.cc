#include "graph/stage_flow.h"

#include "graph/axis_value.h"
#include "graph/flow_graph.h"

namespace tenure {
namespace {

namespace flow = tbb::flow;

// Enough requests to keep every session busy while rows of finished ones are still on their way.
uint32_t credits_for(uint32_t in_flight) { return in_flight > 0 ? 2 * in_flight : 128; }

}  // namespace

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
    Work work{.plan = &stage, .settings = prompt_settings(stage, *options_.runtime, options_.time_limit), .origin = {}, .alerts = nullptr, .reference = std::nullopt, .node = nullptr};
    work.is_reference = options_.fidelity->is_reference(stage.id);
    work.reference = options_.fidelity->reference_of(cell, stage.id);
    work.waits = work.reference && work.reference->second == cell.name;
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
      if (!work.waits) flow::make_edge(*reader.credits, *work.node);
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

void StageFlow::Graph::write(const WrittenPtr& written) {
  try {
    if (!failure()) options_.write(written->row);
  } catch (const Error& error) {
    fail(error);
  } catch (const std::exception& error) {
    fail(Error(Code::internal, error.what()));
  }
  if (was_last(*written)) release_waiting(written->stage, written->passage);
  close(written->passage, 1);
}

// Of the rows that the passage gets in this stage; a refusal is the only one.
bool StageFlow::Graph::was_last(const Written& written) {
  const std::lock_guard lock(mutex_);
  const auto awaited = written.passage->n_awaited.find(written.stage);
  return awaited == written.passage->n_awaited.end() || --awaited->second == 0;
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
