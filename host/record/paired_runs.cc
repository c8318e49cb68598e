#include "record/paired_runs.h"

#include <fmt/format.h>

#include <cmath>

#include "record/row_file.h"
#include "record/row_index.h"

namespace tenure {
namespace {

constexpr size_t most_named = 5;

std::string name_of(const ResultRow& row) {
  std::string text = fmt::format("{} / {}", row.id, row.stage);
  if (row.sample != 0) text += fmt::format(" #{}", row.sample);
  return row.cell.empty() ? text : fmt::format("{} [{}]", text, row.cell);
}

std::map<std::string, double> metrics_of(const ResultRow& row) {
  std::map<std::string, double> values;
  if (row.status != RowStatus::ok) return values;
  for_each_metric(row, [&](std::string_view path, double value) { values.emplace(path, value); });
  return values;
}

void add_pair(PairedRuns& runs, const ResultRow& a, const ResultRow& b) {
  ++runs.n_pairs;
  if (a.status != RowStatus::ok || b.status != RowStatus::ok) ++runs.n_not_ok;
  const std::map<std::string, double> values_a = metrics_of(a), values_b = metrics_of(b);
  const auto add = [&](const std::string& path, double value_a, double value_b) {
    PairedMetric& metric = runs.metrics[{b.stage, b.cell, path}];
    metric.a.add(value_a);
    metric.b.add(value_b);
    metric.change.add(value_b - value_a);
  };
  for (const auto& [path, value] : values_a) {
    const auto other = values_b.find(path);
    if (other != values_b.end()) add(path, value, other->second);
    if (b.status == RowStatus::error && is_accuracy(path)) add(path, value, 0);
  }
  for (const auto& [path, value] : values_b) {
    if (a.status == RowStatus::error && is_accuracy(path)) add(path, 0, value);
  }
}

}  // namespace

PairedRuns pair_runs(const std::string& results_a, const std::string& results_b) {
  PairedRuns runs;
  const RowIndex index_a = RowIndex::read(results_a);
  const RowIndex index_b = RowIndex::read(results_b);
  const RowFile file_a(results_a);
  for_each_current_row(results_b, [&](const ResultRow& row, std::string_view) {
    const RowMark* mark = index_a.find(row.id, row.cell, row.stage, row.sample);
    const std::optional<ResultRow> partner = mark ? file_a.at(mark->offset) : std::nullopt;
    if (partner) return add_pair(runs, *partner, row);
    if (runs.n_only_b++ < most_named) runs.only_b.push_back(name_of(row));
  });
  for_each_current_row(results_a, [&](const ResultRow& row, std::string_view) {
    if (index_b.find(row.id, row.cell, row.stage, row.sample)) return;
    if (runs.n_only_a++ < most_named) runs.only_a.push_back(name_of(row));
  });
  return runs;
}

}  // namespace tenure
