#include "bench/round.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "error/error.h"
#include "plugin/host_services.h"
#include "session/script.h"

namespace tenure {
namespace {

using Clock = std::chrono::steady_clock;

struct Pass {
  Clock::time_point ended;
  PassFigures figures;
};

// The engine's thread writes; the caller reads once all jobs are done.
class RoundLog {
 public:
  explicit RoundLog(uint32_t n_jobs) : n_left_(n_jobs) { passes_.reserve(size_t{1} << 16); }

  void passed(const PassFigures& figures) { passes_.push_back({Clock::now(), figures}); }
  void done(SessionResult&& result) {
    const std::lock_guard lock(mutex_);
    results_.push_back(std::move(result));
    if (--n_left_ == 0) all_done_.notify_one();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    all_done_.wait(lock, [this] { return n_left_ == 0; });
  }

  const std::vector<Pass>& passes() const { return passes_; }
  const std::vector<SessionResult>& results() const { return results_; }

 private:
  std::vector<Pass> passes_;
  std::mutex mutex_;
  std::condition_variable all_done_;
  uint32_t n_left_;
  std::vector<SessionResult> results_;
};

// Any ids but the first, which are control tokens in most vocabularies.
std::vector<int32_t> random_ids(uint32_t n, uint32_t n_vocab, uint64_t seed) {
  const uint32_t first = std::min(100u, n_vocab / 2);
  std::vector<int32_t> ids(n);
  for (uint32_t i = 0; i < n; ++i)
    ids[i] = static_cast<int32_t>(first + random_bits(seed, i) % (n_vocab - first));
  return ids;
}

std::unique_ptr<Job> make_job(const Workload& workload, uint32_t n_vocab, uint32_t sequence, RoundLog& log) {
  auto script = std::make_shared<SessionScript>();
  script->id = std::to_string(sequence);
  script->policy = workload.policy;
  script->ignore_eos = true;
  script->segments.resize(1);
  script->segments[0].ids = random_ids(workload.prompt, n_vocab, sequence);
  script->segments[0].generate =
      std::max(workload.generate, 1u);  // prefilling nobody reads from is not what anyone does
  auto job = std::make_unique<Job>();
  job->script = std::move(script);
  job->on_done = [&log](SessionResult&& result) { log.done(std::move(result)); };
  return job;
}

double seconds(Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

void take_passes(Round& round, const std::vector<Pass>& passes, Clock::time_point submitted,
                 uint32_t n_sequences) {
  const auto is_prefill = [](const Pass& pass) { return pass.figures.n_prefilled > 0; };
  const auto decode =
      std::find_if(passes.rbegin(), passes.rend(), is_prefill).base();  // first pass after the last one
  for (auto pass = passes.begin(); pass != decode; ++pass) {
    round.n_prefilled += pass->figures.n_prefilled;
    round.prefill_ops += pass->figures.work.matrix_ops;
  }
  if (decode == passes.begin()) return;
  const Clock::time_point prefilled = std::prev(decode)->ended;
  round.prefill_seconds = seconds(prefilled - submitted);
  for (auto pass = decode; pass != passes.end() && pass->figures.n_decoded == n_sequences; ++pass) {
    ++round.n_decode_passes;
    round.n_decoded += pass->figures.n_decoded;
    round.decode_weight_bytes += pass->figures.work.weight_bytes;
    round.decode_kv_bytes += pass->figures.work.kv_bytes;
    round.decode_policy_seconds += seconds(pass->figures.policy);
    round.decode_seconds = seconds(pass->ended - prefilled);
  }
}

}  // namespace

Round run_round(Engine& engine, const Workload& workload, uint32_t n_vocab) {
  RoundLog log(workload.sequences);
  engine.forget_peaks();
  engine.watch([&log](const PassFigures& figures) { log.passed(figures); });
  std::vector<std::unique_ptr<Job>> jobs;
  for (uint32_t i = 0; i < workload.sequences; ++i) jobs.push_back(make_job(workload, n_vocab, i, log));
  const Clock::time_point submitted = Clock::now();
  engine.submit(std::move(jobs));
  log.wait();
  engine.watch({});

  Round round;
  for (const SessionResult& result : log.results()) {
    if (result.error) {
      const bool memory = result.error->code == RowCode::memory;
      throw Error(memory ? Code::memory_too_small : Code::internal,
                  "a sequence failed: " + result.error->message);
    }
    round.kv_end_bytes += result.end_bytes;
    round.released += result.released;
  }
  const EngineFigures figures = engine.figures();
  round.n_at_once = figures.n_active_peak;
  round.kv_peak_bytes = figures.kv_peak_bytes;
  take_passes(round, log.passes(), submitted, workload.sequences);
  return round;
}

}  // namespace tenure
