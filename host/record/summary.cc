#include "record/summary.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <bit>

namespace tenure {

void RowCounts::add(RowStatus status) {
  switch (status) {
    case RowStatus::ok:
      ++ok;
      break;
    case RowStatus::error:
      ++error;
      break;
    case RowStatus::limit:
      ++limit;
      break;
    case RowStatus::skipped:
      ++skipped;
      break;
  }
}

int64_t context_bucket(int64_t prompt_tokens) {
  if (prompt_tokens <= 1) return 1;
  return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(prompt_tokens)));
}

void Summarizer::Group::add(const ResultRow& row) {
  n.add(row.status);
  if (row.status != RowStatus::ok) return;
  for_each_metric(row, [&](std::string_view path, double value) { metrics[std::string(path)].add(value); });
}

GroupSummary Summarizer::Group::summarize() const {
  GroupSummary summary{.n = n, .metrics = {}};
  for (const auto& [path, seen] : metrics) {
    Distribution values = seen;
    if (is_accuracy(path)) values.add_zeros(n.error);
    summary.metrics[path] = {
        .mean = values.mean(),
        .ci95 = is_accuracy(path) ? values.wilson_interval(0.95) : values.t_interval(0.95),
        .p50 = values.quantile(0.5),
        .p90 = values.quantile(0.9),
        .p99 = values.quantile(0.99),
        .max = values.max(),
        .n = values.n()};
  }
  return summary;
}

void Summarizer::add(const ResultRow& row) {
  totals_.add(row.status);
  const auto [at, is_new] = part_of_.try_emplace({row.cell, row.stage}, parts_.size());
  if (is_new)
    parts_.push_back(
        {.head = {.cell = row.cell, .axes = row.axes, .stage = row.stage}, .all = {}, .by_context = {}});
  Part& part = parts_[at->second];
  if (part.head.policy.empty()) part.head.policy = row.policy;
  if (part.head.axes.empty()) part.head.axes = row.axes;
  part.all.add(row);
  if (row.usage && row.usage->prompt_tokens > 0)
    part.by_context[context_bucket(row.usage->prompt_tokens)].add(row);
}

std::vector<CellSummary> Summarizer::cells() const {
  std::vector<CellSummary> cells;
  for (const Part& part : parts_) {
    CellSummary& cell = cells.emplace_back(part.head);
    cell.group = part.all.summarize();
    for (const auto& [max, group] : part.by_context) {
      cell.by_context.push_back({.min = max / 2 + 1, .max = max, .group = group.summarize()});
    }
  }
  return cells;
}

bool ErrorAllowance::exceeded_by(const RowCounts& n) const {
  if (share) return static_cast<double>(n.error) > *share * static_cast<double>(n.total());
  return n.error > count.value_or(0);
}

Verdict judge(const Outcome& outcome) {
  Verdict verdict;
  const auto settle = [&](std::string_view word, int exit_code, std::string reason) {
    if (verdict.exit_code == 0) {
      verdict.verdict = word;
      verdict.exit_code = exit_code;
    }
    verdict.reasons.push_back(std::move(reason));
  };
  // In the order of rank: the first one found names the verdict.
  if (outcome.failure) settle("failed", outcome.failure_exit_code, *outcome.failure);
  if (outcome.stopped)
    settle("stopped", exit_stopped, "stopped before its end; run the same command again to go on");
  if (outcome.allowed.exceeded_by(outcome.rows)) {
    settle("errors", exit_too_many_errors,
           fmt::format("{} of {} rows are errors, more than [run] max_errors allows", outcome.rows.error,
                       outcome.rows.total()));
  }
  for (const GateResult& gate : outcome.gates) {
    if (gate.status == GateResult::Status::ok) continue;
    settle("gate_failed", exit_gate,
           gate.cell.empty() ? gate.text : fmt::format("{} [{}]", gate.text, gate.cell));
  }
  return verdict;
}

uint64_t rss_peak_bytes() {
  struct rusage usage {};
  return getrusage(RUSAGE_SELF, &usage) == 0 ? static_cast<uint64_t>(usage.ru_maxrss) * 1024 : 0;
}

}  // namespace tenure
