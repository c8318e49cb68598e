// What ends a running session early: memory that it came to need, and its time.
#include <fmt/format.h>

#include <algorithm>

#include "engine/engine.h"

namespace tenure {

// A session that goes on without its failed policy (on_plugin_error = "full") needs the full cache from now on.
void Engine::reserve_for_dropped() {
  for (const auto& active : active_) {
    const auto dropped = [](const Session& session) { return !session.policy_active() && session.stage() != Session::Stage::done; };
    const bool any = dropped(*active->trunk) || std::any_of(active->siblings.begin(), active->siblings.end(), [&](const Sibling& s) {
                       return s.session && dropped(*s.session);
                     });
    if (!any || active->unbounded) continue;
    const SessionScript& script = *active->job->script;
    const KvConfig kv = memory_.kv_config(script.policy->k_type, script.policy->v_type);
    const uint64_t needed = full_bytes(script, kv) * (1 + n_running_forks(*active));
    if (memory_.fits(needed)) {
      memory_.reserve(needed);
      active->reserved += needed;
      active->unbounded = true;
      continue;
    }
    active->siblings.clear();
    active->trunk->fail({.code = RowCode::memory,
                         .message = fmt::format("its policy failed and the full cache of {} bytes does not fit now", needed),
                         .plugin = script.policy->policy->id()});
  }
}

void Engine::enforce_time_limits() {
  const auto now = SessionTimes::Clock::now();
  for (const auto& active : active_) {
    const auto limit = active->job->script->time_limit;
    if (limit.count() == 0 || now - active->trunk->result().times.admitted < limit) continue;
    active->siblings.clear();
    active->trunk->fail({.code = RowCode::time_limit,
                         .message = fmt::format("longer than {} ms", std::chrono::duration_cast<std::chrono::milliseconds>(limit).count())});
  }
}

}  // namespace tenure
