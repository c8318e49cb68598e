#include "engine/engine.h"

#include <fmt/format.h>

#include <algorithm>

#include "error/error.h"

namespace tenure {
namespace {

using Clock = SessionTimes::Clock;

EngineConfig resolved(EngineConfig config, const Backend& backend) {
  config.batch_rows = batch_rows(config.batch_rows, backend.properties());
  return config;
}

}  // namespace

Engine::Engine(const Model& model, Backend& backend, const Tokenizer& tokenizer, const EngineConfig& config)
    : model_(model),
      backend_(backend),
      tokenizer_(tokenizer),
      config_(resolved(config, backend)),
      memory_(backend, model.config(), config.memory, config_.batch_rows),
      activations_(backend, model.config(), config_.batch_rows + config.max_rebuild_rows),
      decisions_(backend, config.executor),
      rows_(backend) {
  thread_ = std::thread([this] { run(); });
}

Engine::~Engine() {
  {
    const std::lock_guard lock(mutex_);
    quit_ = true;
    abandon_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Engine::submit(std::unique_ptr<Job> job) {
  std::vector<std::unique_ptr<Job>> jobs;
  jobs.push_back(std::move(job));
  submit(std::move(jobs));
}

void Engine::submit(std::vector<std::unique_ptr<Job>> jobs) {
  {
    const std::lock_guard lock(mutex_);
    if (abandon_) return;
    for (std::unique_ptr<Job>& job : jobs) submitted_.push_back({.job = std::move(job), .submitted = Clock::now()});
  }
  wake_.notify_all();
}

void Engine::abandon() {
  std::unique_lock lock(mutex_);
  abandon_ = true;
  wake_.notify_all();
  idle_.wait(lock, [&] { return n_active_ == 0 && n_waiting_ == 0 && submitted_.empty(); });
}

EngineFigures Engine::figures() const {
  return {.n_active = n_active_, .n_active_peak = n_active_peak_, .n_waiting = n_waiting_, .n_prefilled = n_prefilled_, .n_decoded = n_decoded_,
          .kv_bytes = kv_bytes_, .kv_peak_bytes = kv_peak_};
}

void Engine::forget_peaks() {
  memory_.forget_peak();
  kv_peak_ = memory_.peak_bytes();
  n_active_peak_ = 0;
}

uint64_t Engine::chunk_bytes(const PolicySettings& policy) {
  return dense_bytes(memory_.kv_config(policy.k_type, policy.v_type), policy.chunk, policy.chunk);
}

// ---- the thread ----

void Engine::run() {
  while (take_submitted()) {
    admit();
    enforce_time_limits();
    const auto policy_before = on_pass_ ? policy_time() : Clock::duration{};
    build_batch();
    if (!in_batch_.empty()) {
      forward();
      decide();
      if (on_pass_) pass_.policy = policy_time() - policy_before;
      reserve_for_dropped();
      if (on_pass_) on_pass_(pass_);
    }
    collect();
  }
}

// Waits while there is nothing to do. False when the engine ends.
bool Engine::take_submitted() {
  std::unique_lock lock(mutex_);
  if (active_.empty() && waiting_.empty()) {
    n_active_ = n_waiting_ = 0;
    idle_.notify_all();
    wake_.wait(lock, [&] { return quit_ || !submitted_.empty(); });
  }
  if (abandon_) {
    submitted_.clear();
    waiting_.clear();
    active_.clear();
    n_active_ = n_waiting_ = 0;
    idle_.notify_all();
    return !quit_;
  }
  for (Waiting& waiting : submitted_) waiting_.push_back(std::move(waiting));
  submitted_.clear();
  n_waiting_ = waiting_.size();  // while locked: abandon() must not take what is in neither queue for nothing
  return true;
}

void Engine::admit() {
  while (!waiting_.empty() && (config_.in_flight == 0 || active_.size() < config_.in_flight)) {
    const auto n_feeding = std::count_if(active_.begin(), active_.end(), [](const auto& active) {
      return active->trunk->stage() == Session::Stage::feeding;
    });
    // More prefills at once than a batch carries would only hold memory.
    const uint32_t chunk = std::max(1u, waiting_.front().job->script->policy->chunk);
    if (static_cast<uint64_t>(n_feeding) * chunk > config_.batch_rows) break;
    if (!admit_one(waiting_.front())) break;
    waiting_.pop_front();
  }
  n_active_ = active_.size();
  n_active_peak_ = std::max<uint64_t>(n_active_peak_, active_.size());
  n_waiting_ = waiting_.size();
}

// False when it must wait for memory.
bool Engine::admit_one(Waiting& waiting) {
  auto active = std::make_unique<Active>();
  const SessionScript& script = *waiting.job->script;
  const KvConfig kv = memory_.kv_config(script.policy->k_type, script.policy->v_type);
  const SessionBudget budget = session_budget(*script.policy, script.n_fed(), script.n_total(), slot_bytes(kv),
                                              model_.config().n_ctx, config_.max_rebuild_rows);
  active->footprint = footprint(script, budget, kv, config_.max_rebuild_rows);
  const uint64_t needed = active->footprint.at_start();
  if (needed > memory_.capacity()) {
    reject(waiting, {.code = RowCode::memory,
                     .message = fmt::format("needs {} bytes of KV cache, [engine] memory allows {}", needed, memory_.capacity())});
    return true;
  }
  if (!memory_.fits(needed)) return false;
  const auto n_positions = static_cast<uint32_t>(script.n_total() + 1);
  if (n_positions > n_positions_) {
    const uint32_t wanted = std::max(n_positions, std::max(model_.config().n_ctx, 2 * n_positions_));
    const uint32_t n_rows = activations_.n_rows;
    try {
      backend_.reserve(model_.weights(), n_rows, n_rows, wanted);
      n_positions_ = wanted;
    } catch (const Error& error) {
      reject(waiting, {.code = RowCode::internal, .message = error.diagnostics().front().text});
      return true;
    }
  }
  SessionSetup setup{.script = waiting.job->script.get(),
                     .tokenizer = &tokenizer_,
                     .backend = &backend_,
                     .weights = &model_.weights(),
                     .kv = kv,
                     .budget = budget,
                     .n_vocab = model_.config().n_vocab,
                     .row_granularity = std::max(1u, backend_.properties().row_granularity),
                     .max_rebuild_rows = config_.max_rebuild_rows,
                     .account = &active->account};
  try {
    activations_.supply(backend_, script.policy->needs().evidence);
    active->trunk = std::make_unique<Session>(setup);
  } catch (const Error& error) {
    reject(waiting, {.code = RowCode::bad_request, .message = error.diagnostics().front().text});
    return true;
  }
  memory_.reserve(needed);
  active->reserved = needed;
  active->job = std::move(waiting.job);
  SessionResult& result = active->trunk->result();
  result.times.submitted = waiting.submitted;
  result.times.admitted = Clock::now();
  result.full_bytes = full_bytes(*active->job->script, kv);
  active_.push_back(std::move(active));
  return true;
}

void Engine::reject(Waiting& waiting, RowError error) {
  SessionResult result;
  result.error = std::move(error);
  result.times.submitted = waiting.submitted;
  result.times.admitted = result.times.finished = Clock::now();
  waiting.job->on_done(std::move(result));
}

// ---- forks ----

uint64_t Engine::n_running_forks(const Active& active) {
  return static_cast<uint64_t>(
      std::count_if(active.siblings.begin(), active.siblings.end(), [](const Sibling& s) { return s.session != nullptr; }));
}

// One sibling is part of the reservation; more start as memory allows.
void Engine::start_forks(Active& active) {
  Session& trunk = *active.trunk;
  active.next_fork = std::max(active.next_fork, trunk.first_fork());
  while (active.next_fork < trunk.last_fork()) {
    if (n_running_forks(active) > 0) {
      if (!memory_.fits(active.footprint.fork) || n_running_forks(active) >= config_.batch_rows) break;
      memory_.reserve(active.footprint.fork);
      active.reserved += active.footprint.fork;
    }
    active.siblings.push_back({.session = trunk.fork(active.next_fork++), .result = {}});
  }
}

// A finished sibling gives its pages back at once; the trunk goes on when all of its group are done.
void Engine::join_forks(Active& active) {
  for (Sibling& sibling : active.siblings) {
    if (!sibling.session || sibling.session->stage() != Session::Stage::done) continue;
    sibling.result = std::move(sibling.session->result());
    sibling.session.reset();
    if (n_running_forks(active) == 0) continue;
    memory_.release(active.footprint.fork);
    active.reserved -= active.footprint.fork;
  }
  if (n_running_forks(active) > 0 || active.next_fork < active.trunk->last_fork()) return;
  for (Sibling& sibling : active.siblings) active.trunk->take(std::move(sibling.result));
  active.siblings.clear();
  active.trunk->resume();
}

template <typename F>
void Engine::for_each_session(F&& f) {
  for (const auto& active : active_) {
    if (active->trunk->stage() == Session::Stage::forking) {
      for (const Sibling& sibling : active->siblings) {
        if (sibling.session) f(*sibling.session);
      }
    } else {
      f(*active->trunk);
    }
  }
}

// ---- one iteration ----

void Engine::build_batch() {
  batch_.clear();
  in_batch_.clear();
  group_.clear();
  for (const auto& active : active_) {
    if (active->trunk->stage() == Session::Stage::forking) start_forks(*active);
  }
  for_each_session([&](Session& session) { group_.push_back(&session); });
  // Decode first: each costs one row and somebody waits for every token.
  const size_t n = group_.size();
  for (size_t i = 0; i < n; ++i) {
    Session& session = *group_[(next_decode_ + i) % n];
    if (session.stage() == Session::Stage::decoding) add_rows(session, 1);
  }
  for (Session* session : group_) {
    if (session->stage() == Session::Stage::feeding) add_rows(*session, config_.batch_rows);
  }
  if (n > 0) next_decode_ = (next_decode_ + 1) % n;
}

// Rebuilt rows may go past batch_rows: activations have room for one session's.
void Engine::add_rows(Session& session, uint32_t n_max) {
  if (batch_.n_rows() >= config_.batch_rows) return;
  if (session.add_rows(batch_, std::min(n_max, config_.batch_rows - batch_.n_rows())) > 0) in_batch_.push_back(&session);
}

void Engine::forward() {
  const auto began = Clock::now();
  AfterAttend observe;
  if (rows_.begin(in_batch_)) observe = [this](const LayerRows& rows) { return rows_.observe(rows); };
  const Status status = model_.forward(batch_, activations_, observe);
  const auto took = Clock::now() - began - rows_.time_in_hooks();
  uint64_t n_decoded = 0;
  uint64_t n_prefilled = 0;
  for (Session* session : in_batch_) {
    if (!status.ok()) {
      session->fail({.code = RowCode::internal, .message = to_text(status), .plugin = backend_.id()});
      continue;
    }
    const uint32_t n_rebuilt = session->n_rebuild_rows();
    const uint32_t n_rows = session->n_rows() - n_rebuilt;
    SessionTimes& times = session->result().times;
    if (n_rebuilt > 0) times.rebuild += took * n_rebuilt / batch_.n_rows();
    if (session->stage() == Session::Stage::decoding) {
      times.decode += took;
      times.n_decoded += n_rows;
      n_decoded += n_rows;
    } else {
      times.prefill += took;
      times.n_prefilled += n_rows;
      n_prefilled += n_rows;
    }
    if (session->stage() != Session::Stage::done) session->accept(batch_);
  }
  if (on_pass_) pass_ = {.n_prefilled = n_prefilled, .n_decoded = n_decoded, .work = status.ok() ? model_.work(batch_) : PassWork{}};
  n_decoded_ += n_decoded;
  n_prefilled_ += n_prefilled;
  kv_bytes_ = memory_.bytes_in_use();
  kv_peak_ = memory_.peak_bytes();
}

// Sessions of one policy at one kind of decision are decided together.
void Engine::decide() {
  for (size_t i = 0; i < in_batch_.size(); ++i) {
    Session& first = *in_batch_[i];
    if (!first.decision() || first.stage() == Session::Stage::done) continue;
    const DecisionPoint point = *first.decision();
    group_.clear();
    for (size_t j = i; j < in_batch_.size(); ++j) {
      Session& session = *in_batch_[j];
      const bool due = session.decision() && session.stage() != Session::Stage::done;
      if (due && &session.policy() == &first.policy() && *session.decision() == point) group_.push_back(&session);
    }
    decisions_.run(group_);
    for (Session* session : group_) session->decided();
  }
  for (Session* session : in_batch_) session->end_step();
}

// Of the sessions that run, since each began; between admit() and collect() it only grows.
Clock::duration Engine::policy_time() const {
  Clock::duration sum{};
  for (const auto& active : active_) {
    sum += active->trunk->result().times.policy;
    for (const Sibling& sibling : active->siblings) {
      if (sibling.session) sum += sibling.session->result().times.policy;
    }
  }
  return sum;
}

void Engine::collect() {
  kv_peak_ = memory_.peak_bytes();  // decisions copy shared pages
  for (const auto& active : active_) {
    if (active->trunk->stage() == Session::Stage::forking) join_forks(*active);
    // Its text is fed: the chunk's share goes back to those who wait.
    if (active->trunk->stage() == Session::Stage::decoding && active->trunk->is_last_segment() && active->footprint.prefill > 0) {
      memory_.release(active->footprint.prefill);
      active->reserved -= active->footprint.prefill;
      active->footprint.prefill = 0;
    }
    if (active->trunk->stage() == Session::Stage::done) finish(*active);
  }
  std::erase_if(active_, [](const auto& active) { return active->job == nullptr; });
}

void Engine::finish(Active& active) {
  SessionResult result = std::move(active.trunk->result());
  result.peak_bytes = active.account.peak_bytes;
  result.times.finished = Clock::now();
  active.siblings.clear();
  active.trunk.reset();
  memory_.release(active.reserved);
  kv_bytes_ = memory_.bytes_in_use();
  active.job->on_done(std::move(result));
  active.job.reset();
}

}  // namespace tenure
