#include "plan/metrics.h"

#include <fmt/format.h>

#include "manifest/findings.h"

namespace tenure {

const std::vector<std::string>& metric_names() {
  static const std::vector<std::string> names = {
      "exact_match",          "usage.prompt_tokens",  "usage.generated_tokens", "timing.queue_ms",
      "timing.ttft_ms",       "timing.tpot_ms",       "timing.total_ms",        "timing.prefill_tps",
      "timing.decode_tps",    "timing.policy_ms",     "timing.rebuild_ms",      "kv.budget_slots",
      "kv.peak_bytes",        "kv.end_bytes",         "kv.full_bytes",          "kv.policy_bytes",
      "kv.rebuild_bytes",     "kv.bytes_per_token",   "events.released",        "events.rebuilt",
      "events.admitted",      "events.rebuild_rows",  "score.logprob",          "score.ppl",
      "score.token_accuracy", "segments.exact_match", "segments.logprob",       "segments.token_accuracy",
      "segments.ttft_ms",     "segments.released",    "segments.rebuilt",       "segments.kv_bytes"};
  return names;
}

const std::vector<std::string>& row_field_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all = {"schema",   "id",      "cell",        "axes",     "stage",  "policy",
                                    "sample",   "attempt", "status",      "error",    "text",   "tokens",
                                    "finish",   "answer",  "exact_match", "segments", "seed",   "determinism",
                                    "metadata", "usage",   "timing",      "kv",       "events", "score",
                                    "fidelity", "alerts",  "compare"};
    for (const std::string& metric : metric_names()) {
      if (metric.find('.') != std::string::npos && !metric.starts_with("segments.")) all.push_back(metric);
    }
    return all;
  }();
  return names;
}

MetricUnit unit_of(std::string_view metric) {
  if (metric.starts_with("compare.")) return MetricUnit::number;  // counts, shares and ratios
  if (metric.ends_with("_bytes") || metric == "kv.bytes_per_token") return MetricUnit::bytes;
  return metric.ends_with("_ms") ? MetricUnit::milliseconds : MetricUnit::number;
}

std::string metric_hint(std::string_view word, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (name.size() > word.size() && name.ends_with(word) && name[name.size() - word.size() - 1] == '.') {
      return fmt::format("did you mean \"{}\"?", name);
    }
  }
  return did_you_mean(word, names);
}

}  // namespace tenure
