// What became of a session: numbers and tokens, not yet a row.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "record/row.h"

namespace tenure {

struct SegmentResult {
  uint32_t index = 0;
  std::vector<int32_t> tokens;
  std::string text;
  Finish finish = Finish::none;
  std::optional<double> logprob;  // natural; of the scored tokens, or of those generated
  uint32_t n_scored = 0;
  uint32_t n_correct = 0;  // scored tokens that were the argmax
  std::optional<double> ttft_ms;
  uint64_t released = 0;  // slots, over layers and KV heads
  uint64_t rebuilt = 0;
  uint64_t kv_bytes = 0;
  uint64_t peak_bytes = 0;  // of the request until then, forks that ran beside included
};

struct SessionTimes {
  using Clock = std::chrono::steady_clock;
  Clock::time_point submitted, admitted, finished;
  std::optional<Clock::time_point> first_token;
  std::chrono::nanoseconds prefill{0}, decode{0}, policy{0}, rebuild{0};  // whole forwards it was in; rebuild by its rows
  uint64_t n_prefilled = 0;
  uint64_t n_decoded = 0;
};

struct SessionResult {
  std::optional<RowError> error;
  bool policy_dropped = false;  // on_plugin_error = "full" took effect; `error` says why, the row is ok
  std::vector<SegmentResult> segments;
  SessionTimes times;
  uint64_t n_fed = 0;
  uint64_t n_generated = 0;
  std::optional<uint32_t> budget_slots;
  uint64_t peak_bytes = 0;
  uint64_t end_bytes = 0;
  uint64_t full_bytes = 0;
  uint64_t policy_bytes = 0;
  uint64_t rebuild_bytes = 0;
  uint64_t released = 0;
  uint64_t rebuilt = 0;
  uint64_t rebuild_rows = 0;
  std::vector<KvPoint> curve;
};

}  // namespace tenure
