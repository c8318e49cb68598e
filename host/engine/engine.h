// Continuous batching: admits sessions into bounded memory, builds one mixed batch an iteration from all of them, runs
// the model, lets policies decide. The only caller of Model::forward. One thread of its own.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/footprint.h"
#include "engine/kv_memory.h"
#include "model/model.h"
#include "session/decisions.h"
#include "session/row_observations.h"
#include "session/session.h"

namespace tenure {

struct EngineConfig {
  uint32_t batch_rows = 0;  // 0 = the backend's choice
  uint32_t in_flight = 0;   // sessions at a time; 0 = as many as memory allows
  uint64_t memory = 0;      // bytes of KV
  uint32_t max_rebuild_rows = 96;
  Executor executor = serial_executor();  // its workers share the layers of decisions; what it points to outlives the engine
};

// A request on its way through the engine.
struct Job {
  std::shared_ptr<const SessionScript> script;
  // Engine's thread, once, unless the engine was told to abandon; must be quick.
  std::function<void(SessionResult&&)> on_done;
};

// Figures for progress; any thread.
struct EngineFigures {
  uint64_t n_active = 0;
  uint64_t n_active_peak = 0;  // at one time, as the peak of bytes: since the start or forget_peaks()
  uint64_t n_waiting = 0;
  uint64_t n_prefilled = 0;  // tokens, since the start
  uint64_t n_decoded = 0;
  uint64_t kv_bytes = 0;
  uint64_t kv_peak_bytes = 0;
};

// One iteration that ran a forward.
struct PassFigures {
  uint64_t n_prefilled = 0;  // rows
  uint64_t n_decoded = 0;
  PassWork work;
  SessionTimes::Clock::duration policy{};  // hooks and decisions, with the evidence read and the slots moved for them
};
// Engine's thread, after the decisions of the iteration and before its finished jobs are handed out; must be quick.
using PassObserver = std::function<void(const PassFigures&)>;

class Engine {
 public:
  // Everything outlives the engine.
  Engine(const Model& model, Backend& backend, const Tokenizer& tokenizer, const EngineConfig& config);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine();  // abandons what is left

  // Any thread.
  void submit(std::unique_ptr<Job> job);
  // All at once: none begins before the last is there.
  void submit(std::vector<std::unique_ptr<Job>> jobs);
  // Drops waiting and running jobs without calling on_done, then ignores submit. Returns when the thread is idle.
  void abandon();
  EngineFigures figures() const;
  // Both while nothing is submitted.
  void watch(PassObserver on_pass) { on_pass_ = std::move(on_pass); }
  void forget_peaks();
  // What one chunk of a policy takes in every layer and KV head: the least a memory limit must allow. Throws Error when
  // the backend cannot keep the policy's types. Before the first submit.
  uint64_t chunk_bytes(const PolicySettings& policy);

 private:
  struct Sibling {
    std::unique_ptr<Session> session;  // until it is done
    SessionResult result;
  };
  struct Active {
    std::unique_ptr<Job> job;
    KvAccount account;
    Footprint footprint;
    uint64_t reserved = 0;
    std::unique_ptr<Session> trunk;
    std::vector<Sibling> siblings;  // of the fork group that runs, in order
    uint32_t next_fork = 0;
    bool unbounded = false;  // its policy was dropped, and memory for the full cache is reserved
  };
  struct Waiting {
    std::unique_ptr<Job> job;
    SessionTimes::Clock::time_point submitted;
  };

  void run();
  bool take_submitted();
  void admit();
  bool admit_one(Waiting& waiting);
  void start_forks(Active& active);
  void join_forks(Active& active);
  static uint64_t n_running_forks(const Active& active);
  void build_batch();
  void add_rows(Session& session, uint32_t n_max);
  void forward();
  void decide();
  SessionTimes::Clock::duration policy_time() const;
  void reserve_for_dropped();
  void enforce_time_limits();
  void collect();
  void finish(Active& active);
  void reject(Waiting& waiting, RowError error);
  template <typename F>
  void for_each_session(F&& f);

  const Model& model_;
  Backend& backend_;
  const Tokenizer& tokenizer_;
  EngineConfig config_;
  KvMemory memory_;
  Activations activations_;
  uint32_t n_positions_ = 0;  // the backend is ready for
  Batch batch_;
  Decisions decisions_;
  RowObservations rows_;
  std::vector<Session*> in_batch_;
  std::vector<Session*> group_;
  PassObserver on_pass_;
  PassFigures pass_;  // of this iteration, while somebody watches
  std::deque<Waiting> waiting_;
  std::vector<std::unique_ptr<Active>> active_;
  size_t next_decode_ = 0;  // where the next batch starts among sessions, so that none starves

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable idle_;
  std::deque<Waiting> submitted_;  // guarded by mutex_
  bool quit_ = false;              // guarded by mutex_
  bool abandon_ = false;           // guarded by mutex_
  std::atomic<uint64_t> n_active_{0}, n_active_peak_{0}, n_waiting_{0}, n_prefilled_{0}, n_decoded_{0}, kv_bytes_{0}, kv_peak_{0};
  std::thread thread_;
};

}  // namespace tenure
