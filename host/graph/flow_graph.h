// The inside of a StageFlow: nodes, what travels between them, and who waits for whom. Internal to this room.
#pragma once

#include <oneapi/tbb/flow_graph.h>
#include <oneapi/tbb/task_arena.h>

#include <map>

#include "graph/alert_watch.h"
#include "graph/prompt_settings.h"
#include "graph/request_source.h"
#include "graph/stage_flow.h"
#include "session/prompt.h"
#include "session/row.h"

namespace tenure {

// A request on its way through the stages of its reader; it holds a credit until its last row is written.
struct Passage {
  ParsedRequest request;
  std::atomic<uint32_t> n_open{0};  // rows to come, and stages that have not yet said how many
  std::map<size_t, uint32_t> n_awaited;  // rows to come of a stage that others wait for; guarded by the graph's mutex
};
using PassagePtr = std::shared_ptr<Passage>;

// A session's outcome, or an error that came before one.
struct Outcome {
  PassagePtr passage;
  size_t stage = 0;
  std::shared_ptr<const SessionScript> script;  // null: `result.error` came before there was one
  SessionResult result;
  std::vector<RowAlert> alerts;
  std::shared_ptr<AnswerLogits> logits;  // of a reference's answer
  NamedValues fidelity;
  int64_t attempt = 1;
};
using OutcomePtr = std::shared_ptr<Outcome>;

struct Written {
  PassagePtr passage;
  size_t stage = 0;
  ResultRow row;
};
using WrittenPtr = std::shared_ptr<Written>;

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
  using StageNode = tbb::flow::async_node<PassagePtr, OutcomePtr>;
  using Gateway = StageNode::gateway_type;
  struct Work {  // a generate or score stage
    const StagePlan* plan = nullptr;
    PromptSettings settings;
    RowOrigin origin;
    std::unique_ptr<StageAlerts> alerts;
    bool is_reference = false;                                     // others want the logits behind its answers
    std::optional<std::pair<std::string, std::string>> reference;  // stage and cell
    bool waits = false;                                            // for its reference, which is in this flow
    std::unique_ptr<StageNode> node;
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
  // One try at a request's sample.
  struct Attempt {
    size_t stage = 0;
    PassagePtr passage;
    std::shared_ptr<const SessionScript> script;
    std::shared_ptr<FidelityProbe> probe;  // null: nothing to be near to
    int64_t number = 1;
    uint32_t n_tries = 0;
    std::shared_ptr<Held> held;
  };
  struct Reader {
    const StagePlan* plan = nullptr;
    std::unique_ptr<RequestSource> source;
    uint32_t n_stages = 0;
    std::atomic<uint64_t> bytes_read{0};  // readers run side by side
    std::unique_ptr<tbb::flow::input_node<PassagePtr>> input;
    std::unique_ptr<tbb::flow::limiter_node<PassagePtr>> credits;
  };

  void build();
  PassagePtr read(Reader& reader, tbb::flow_control& control);
  void enter(size_t stage, const PassagePtr& passage, Gateway& gateway);
  std::shared_ptr<FidelityProbe> probe_of(const Work& stage, const SessionScript& script) const;
  void submit(const Attempt& attempt);
  void finish(const Attempt& attempt, const OutcomePtr& outcome);
  bool is_done(const Work& stage, const std::string& id, uint32_t sample) const;
  void leave_out(size_t stage, const PassagePtr& passage);
  void release_waiting(size_t stage, const PassagePtr& passage);
  void refuse(size_t stage, const PassagePtr& passage, RowError error, Gateway& gateway);
  void keep_logits(const Outcome& outcome) const;
  WrittenPtr to_row(const OutcomePtr& outcome) const;
  void write(const WrittenPtr& written);
  bool was_last(const Written& written);
  void close(const PassagePtr& passage, uint32_t n);
  void fail(const Error& error);
  void finish_reading();

  FlowOptions options_;
  PromptMaker prompts_;
  tbb::task_arena arena_{2, 0};
  std::unique_ptr<tbb::flow::graph> graph_;
  std::vector<Work> stages_;
  std::map<std::string, Reader> readers_;
  std::map<const Passage*, Reader*> reader_of_;  // guarded by mutex_
  std::unique_ptr<tbb::flow::function_node<OutcomePtr, WrittenPtr>> rows_;
  std::unique_ptr<tbb::flow::function_node<WrittenPtr>> writer_;

  std::atomic<bool> stopping_{false};
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  uint32_t n_reading_ = 0;           // readers that may still give; guarded by mutex_
  std::optional<Error> failure_;     // guarded by mutex_
  uint64_t bytes_total_ = 0;
};

}  // namespace tenure
