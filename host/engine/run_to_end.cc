#include "engine/run_to_end.h"

#include <condition_variable>
#include <mutex>
#include <optional>

namespace tenure {

SessionResult run_to_end(Engine& engine, std::shared_ptr<const SessionScript> script) {
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<SessionResult> result;
  auto job = std::make_unique<Job>();
  job->script = std::move(script);
  job->on_done = [&](SessionResult&& done) {
    const std::lock_guard lock(mutex);
    result = std::move(done);
    changed.notify_all();
  };
  engine.submit(std::move(job));
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return result.has_value(); });
  return std::move(*result);
}

}  // namespace tenure
