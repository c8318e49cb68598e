// progress.json and metrics.prom: how far a run is, rewritten each second, read by `tenure watch` and by
// Prometheus' textfile collector.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "record/summary.h"

namespace tenure {

struct Progress {
  std::string state = "running";  // running | draining | done | stopped | failed
  std::string pipeline;
  std::string cell;
  double elapsed_s = 0;
  RowCounts rows;           // of all attempts of this run, resumed ones included
  uint64_t rows_total = 0;  // 0 = unknown
  uint64_t sessions = 0;    // running now
  uint64_t tokens_fed = 0;  // by this process
  uint64_t tokens_generated = 0;
  double prefill_tps = 0, decode_tps = 0;
  uint64_t kv_bytes = 0, kv_peak_bytes = 0, kv_limit_bytes = 0;
  uint64_t released = 0, rebuilt = 0;
  std::optional<double> eta_s;
  std::vector<std::pair<std::string, RowAlert>> alerts;  // by stage; the last few
  uint64_t n_alerts = 0;                                 // all of them

  void add_alert(const std::string& stage, const RowAlert& alert);
};

std::string to_json(const Progress& progress);
// What progress.json holds; nullopt when the text is none.
std::optional<Progress> parse_progress(std::string_view json);
// Prometheus text format; every series carries the pipeline's name.
std::string to_prometheus(const Progress& progress);

// Tokens a second over the last minute, and the time that the remaining tokens take: by tokens, not rows,
// since long contexts dominate. Times are seconds of one monotonic clock; going back is taken as standing
// still.
class TokenRate {
 public:
  void add(double now_s, uint64_t tokens_so_far);
  double per_second() const;  // 0 until two moments are known
  std::optional<double> eta_s(uint64_t tokens_left) const;

 private:
  static constexpr double window_s = 60;
  std::deque<std::pair<double, uint64_t>> seen_;
};

}  // namespace tenure
