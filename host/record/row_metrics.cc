#include <array>
#include <cmath>

#include "record/row.h"

namespace tenure {
namespace {

using Visit = std::function<void(std::string_view, double)>;

void give(const Visit& visit, std::string_view path, const std::optional<double>& value) {
  if (value && std::isfinite(*value)) visit(path, *value);
}
void give(const Visit& visit, std::string_view path, int64_t value) {
  visit(path, static_cast<double>(value));
}

void visit_timing(const RowTiming& t, const Visit& visit) {
  give(visit, "timing.queue_ms", t.queue_ms);
  give(visit, "timing.ttft_ms", t.ttft_ms);
  give(visit, "timing.tpot_ms", t.tpot_ms);
  give(visit, "timing.total_ms", t.total_ms);
  give(visit, "timing.prefill_tps", t.prefill_tps);
  give(visit, "timing.decode_tps", t.decode_tps);
  give(visit, "timing.policy_ms", t.policy_ms);
  give(visit, "timing.rebuild_ms", t.rebuild_ms);
}

void visit_kv(const RowKv& kv, const Visit& visit) {
  if (kv.budget_slots) give(visit, "kv.budget_slots", *kv.budget_slots);
  give(visit, "kv.peak_bytes", kv.peak_bytes);
  give(visit, "kv.end_bytes", kv.end_bytes);
  give(visit, "kv.full_bytes", kv.full_bytes);
  give(visit, "kv.policy_bytes", kv.policy_bytes);
  give(visit, "kv.rebuild_bytes", kv.rebuild_bytes);
  give(visit, "kv.bytes_per_token", kv.bytes_per_token);
}

void visit_segments(const std::vector<RowSegment>& segments, const Visit& visit) {
  const auto mean = [&](std::string_view path, auto member) {
    double sum = 0;
    size_t n = 0;
    for (const RowSegment& segment : segments) {
      const std::optional<double> value = member(segment);
      if (!value || !std::isfinite(*value)) continue;
      sum += *value;
      ++n;
    }
    if (n > 0) visit(path, sum / static_cast<double>(n));
  };
  using Number = std::optional<double>;
  mean("segments.exact_match",
       [](const RowSegment& s) { return s.exact_match ? Number(*s.exact_match) : Number(); });
  mean("segments.logprob", [](const RowSegment& s) { return s.logprob; });
  mean("segments.token_accuracy", [](const RowSegment& s) { return s.token_accuracy; });
  mean("segments.ttft_ms", [](const RowSegment& s) { return s.ttft_ms; });
  mean("segments.released", [](const RowSegment& s) { return Number(static_cast<double>(s.released)); });
  mean("segments.rebuilt", [](const RowSegment& s) { return Number(static_cast<double>(s.rebuilt)); });
  mean("segments.kv_bytes", [](const RowSegment& s) { return Number(static_cast<double>(s.kv_bytes)); });
}

void visit_named(std::string_view prefix, const NamedValues& values, const Visit& visit) {
  for (const auto& [name, value] : values) {
    if (std::isfinite(value)) visit(std::string(prefix) + name, value);
  }
}

}  // namespace

void for_each_metric(const ResultRow& row, const Visit& visit) {
  give(visit, "exact_match", row.exact_match);
  visit_segments(row.segments, visit);
  if (row.usage) {
    give(visit, "usage.prompt_tokens", row.usage->prompt_tokens);
    give(visit, "usage.generated_tokens", row.usage->generated_tokens);
  }
  if (row.timing) visit_timing(*row.timing, visit);
  if (row.kv) visit_kv(*row.kv, visit);
  if (row.events) {
    give(visit, "events.released", row.events->released);
    give(visit, "events.rebuilt", row.events->rebuilt);
    give(visit, "events.admitted", row.events->admitted);
    give(visit, "events.rebuild_rows", row.events->rebuild_rows);
  }
  if (row.score) {
    give(visit, "score.logprob", row.score->logprob);
    give(visit, "score.ppl", row.score->ppl);
    give(visit, "score.token_accuracy", row.score->token_accuracy);
  }
  visit_named("fidelity.", row.fidelity, visit);
  visit_named("compare.", row.compare, visit);
}

std::optional<double> metric_of(const ResultRow& row, std::string_view path) {
  std::optional<double> found;
  for_each_metric(row, [&](std::string_view name, double value) {
    if (name == path) found = value;
  });
  // A compare row's figures are also addressed by the bare name the stage's `metrics` list uses.
  if (!found) {
    for (const auto& [name, value] : row.compare) {
      if (name == path && std::isfinite(value)) found = value;
    }
  }
  return found;
}

bool is_accuracy(std::string_view path) {
  constexpr std::array<std::string_view, 5> names = {"exact_match", "token_accuracy", "token_f1", "rouge_l",
                                                     "top1"};
  const std::string_view last =
      path.substr(path.rfind('.') == std::string_view::npos ? 0 : path.rfind('.') + 1);
  // Compared by their ratio, which is no share.
  const bool is_ratio = last == "token_accuracy" || path.find(".segments.") != std::string_view::npos;
  if (path.starts_with("compare.") && is_ratio) return false;
  for (std::string_view name : names) {
    if (last == name) return true;
  }
  return false;
}

std::string_view stripped(std::string_view text) {
  constexpr std::string_view white = " \t\r\n\f\v";
  const size_t begin = text.find_first_not_of(white);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(white) - begin + 1);
}

std::optional<bool> exact_match(std::string_view text, const std::vector<std::string>& answers) {
  if (answers.empty()) return std::nullopt;
  const std::string_view body = stripped(text);
  for (const std::string& answer : answers) {
    if (const std::string_view wanted = stripped(answer); !wanted.empty() && body.starts_with(wanted))
      return true;
  }
  return false;
}

}  // namespace tenure
