#include "session/row.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace tenure {
namespace {

using Clock = SessionTimes::Clock;

double milliseconds(std::chrono::nanoseconds d) { return std::chrono::duration<double, std::milli>(d).count(); }

std::optional<double> rate(uint64_t n, std::chrono::nanoseconds d) {
  if (n == 0 || d.count() <= 0) return std::nullopt;
  return static_cast<double>(n) / std::chrono::duration<double>(d).count();
}

ResultRow start_row(const std::string& id, const std::string& policy, const RowOrigin& origin) {
  ResultRow row;
  row.id = id;
  row.cell = origin.cell;
  row.axes = origin.axes;
  row.stage = origin.stage;
  row.policy = policy;
  row.attempt = origin.attempt;
  row.determinism = origin.determinism;
  return row;
}

RowTiming timing_of(const SessionTimes& times, uint64_t n_generated) {
  RowTiming timing;
  timing.queue_ms = milliseconds(times.admitted - times.submitted);
  timing.total_ms = milliseconds(times.finished - times.submitted);
  if (times.first_token) {
    timing.ttft_ms = milliseconds(*times.first_token - times.submitted);
    if (n_generated > 1) timing.tpot_ms = milliseconds(times.finished - *times.first_token) / static_cast<double>(n_generated - 1);
  }
  timing.prefill_tps = rate(times.n_prefilled, times.prefill);
  timing.decode_tps = rate(times.n_decoded, times.decode);
  timing.policy_ms = milliseconds(times.policy);
  timing.rebuild_ms = milliseconds(times.rebuild);
  return timing;
}

RowKv kv_of(const SessionResult& result) {
  RowKv kv;
  if (result.budget_slots) kv.budget_slots = *result.budget_slots;
  kv.peak_bytes = static_cast<int64_t>(result.peak_bytes);
  kv.end_bytes = static_cast<int64_t>(result.end_bytes);
  kv.full_bytes = static_cast<int64_t>(result.full_bytes);
  kv.policy_bytes = static_cast<int64_t>(result.policy_bytes);
  kv.rebuild_bytes = static_cast<int64_t>(result.rebuild_bytes);
  if (result.n_fed > 0) kv.bytes_per_token = static_cast<double>(result.end_bytes) / static_cast<double>(result.n_fed);
  return kv;
}

RowSegment segment_of(SegmentResult&& from, const SegmentScript& script) {
  RowSegment segment;
  segment.index = from.index;
  segment.label = script.label;
  segment.text = std::move(from.text);
  segment.tokens = std::move(from.tokens);
  segment.finish = from.finish;
  segment.logprob = from.logprob;
  segment.ttft_ms = from.ttft_ms;
  segment.released = static_cast<int64_t>(from.released);
  segment.rebuilt = static_cast<int64_t>(from.rebuilt);
  segment.kv_bytes = static_cast<int64_t>(from.kv_bytes);
  if (from.n_scored > 0) {
    segment.token_accuracy = static_cast<double>(from.n_correct) / from.n_scored;
    segment.exact_match = from.n_correct == from.n_scored;
  } else if (script.generate > 0) {
    segment.exact_match = exact_match(segment.text, script.answers);
  }
  return segment;
}

RowScore score_of(const std::vector<SegmentResult>& segments) {
  double logprob = 0;
  uint64_t n_scored = 0;
  uint64_t n_correct = 0;
  for (const SegmentResult& segment : segments) {
    if (segment.n_scored == 0) continue;
    logprob += segment.logprob.value_or(0);
    n_scored += segment.n_scored;
    n_correct += segment.n_correct;
  }
  if (n_scored == 0) return {};
  const auto n = static_cast<double>(n_scored);
  return {.logprob = logprob, .ppl = std::exp(-logprob / n), .token_accuracy = static_cast<double>(n_correct) / n};
}

// The row's own text and tokens: the only generation, or the last one.
void take_answer(ResultRow& row) {
  double n_matched = 0;
  double n_judged = 0;
  for (const RowSegment& segment : row.segments) {
    if (segment.finish != Finish::none) {
      row.text = segment.text;
      row.tokens = segment.tokens;
      row.finish = segment.finish;
    }
    if (!segment.exact_match) continue;
    n_judged += 1;
    n_matched += *segment.exact_match ? 1 : 0;
  }
  if (n_judged > 0) row.exact_match = n_matched / n_judged;
}

}  // namespace

ResultRow make_error_row(const std::string& id, const std::string& policy, RowError error, const RowOrigin& origin) {
  ResultRow row = start_row(id, policy, origin);
  row.status = status_of(error.code);
  row.finish = row.status == RowStatus::limit ? Finish::limit : Finish::none;
  row.error = std::move(error);
  return row;
}

ResultRow make_row(const Request& request, const SessionScript& script, SessionResult&& result, const RowOrigin& origin) {
  ResultRow row = start_row(script.id, script.policy->name, origin);
  row.sample = script.sample;
  row.seed = script.seed;
  row.answer = request.answers;
  row.label = request.label;
  row.metadata = request.metadata;
  int64_t n_prompt = 0;
  for (const SegmentScript& segment : script.segments) n_prompt += static_cast<int64_t>(segment.ids.size() + segment.score.size());
  row.usage = RowUsage{.prompt_tokens = n_prompt,
                       .generated_tokens = static_cast<int64_t>(result.n_generated)};
  row.timing = timing_of(result.times, result.n_generated);
  row.kv = kv_of(result);
  row.kv_curve = result.curve;
  row.events = RowEvents{.released = static_cast<int64_t>(result.released),
                         .rebuilt = static_cast<int64_t>(result.rebuilt),
                         .admitted = 0,
                         .rebuild_rows = static_cast<int64_t>(result.rebuild_rows)};
  if (result.error) {
    row.error = result.error;
    if (!result.policy_dropped) row.status = status_of(result.error->code);
    if (row.status == RowStatus::limit) row.finish = Finish::limit;
  }
  if (row.status != RowStatus::ok) return row;
  row.score = score_of(result.segments);
  if (!row.score->logprob) row.score.reset();
  std::sort(result.segments.begin(), result.segments.end(), [](const auto& a, const auto& b) { return a.index < b.index; });
  if (!origin.scores) {
    for (SegmentResult& segment : result.segments) row.segments.push_back(segment_of(std::move(segment), script.segments[segment.index]));
    take_answer(row);
    const bool whole = !std::holds_alternative<std::vector<RequestSegment>>(request.input);
    if (whole && !row.answer.empty()) {
      const std::optional<bool> matched = exact_match(row.text, row.answer);
      if (matched) row.exact_match = *matched ? 1.0 : 0.0;
    }
  }
  return row;
}

}  // namespace tenure
