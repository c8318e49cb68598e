#include "eval/compare_rows.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "eval/text_metrics.h"

namespace tenure {
namespace {

using Pair = std::pair<const RowSegment*, const RowSegment*>;  // of the reference, of the row
using PairMetric = double (*)(const RowSegment& reference, const RowSegment& segment);

constexpr std::pair<std::string_view, PairMetric> pair_metrics[] = {
    {"exact_match", [](const RowSegment& a, const RowSegment& b) { return same_text(a.text, b.text) ? 1.0 : 0.0; }},
    {"agree_tokens",
     [](const RowSegment& a, const RowSegment& b) { return static_cast<double>(agreeing_tokens(a.tokens, b.tokens)); }},
    {"token_f1", [](const RowSegment& a, const RowSegment& b) { return token_f1(a.text, b.text); }},
    {"rouge_l", [](const RowSegment& a, const RowSegment& b) { return rouge_l(a.text, b.text); }},
};

// Only what was generated has an end.
bool was_generated(const RowSegment& segment) { return segment.finish != Finish::none; }

std::vector<Pair> generated_pairs(const ResultRow& reference, const ResultRow& row) {
  std::vector<Pair> pairs;
  for (const RowSegment& segment : row.segments) {
    if (!was_generated(segment)) continue;
    const auto at = std::find_if(reference.segments.begin(), reference.segments.end(), [&](const RowSegment& other) {
      return other.index == segment.index && was_generated(other);
    });
    if (at != reference.segments.end()) pairs.emplace_back(&*at, &segment);
  }
  return pairs;
}

std::optional<double> mean_of(PairMetric metric, const std::vector<Pair>& pairs) {
  if (pairs.empty()) return std::nullopt;
  double sum = 0;
  for (const auto& [reference, segment] : pairs) sum += metric(*reference, *segment);
  return sum / static_cast<double>(pairs.size());
}

std::optional<double> figure_of(const std::string& path, const ResultRow& reference, const ResultRow& row) {
  // Said of the row when it was made: see graph/fidelity.
  if (path == "kl" || path == "top1") return metric_of(row, "fidelity." + path);
  const std::optional<double> base = metric_of(reference, path);
  const std::optional<double> value = metric_of(row, path);
  if (!base || !value || *base == 0) return std::nullopt;
  return *value / *base;
}

}  // namespace

NamedValues compare_rows(const ResultRow& reference, const ResultRow& row, const std::vector<std::string>& metrics) {
  const std::vector<Pair> pairs = generated_pairs(reference, row);
  NamedValues values;
  for (const std::string& name : metrics) {
    const auto* at = std::find_if(std::begin(pair_metrics), std::end(pair_metrics), [&](const auto& m) { return m.first == name; });
    const bool of_pairs = at != std::end(pair_metrics);
    const std::optional<double> value = of_pairs ? mean_of(at->second, pairs) : figure_of(name, reference, row);
    if (value) values.emplace_back(name, *value);
  }
  return values;
}

}  // namespace tenure
