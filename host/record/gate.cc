#include "record/gate.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

namespace tenure {
namespace {

constexpr std::array<std::string_view, 5> aggregate_names = {"mean", "p50", "p90", "p99", "max"};
constexpr std::array<std::string_view, 3> status_names = {"ok", "failed", "not evaluable"};

std::optional<double> number_of(const AxisValue& value) {
  if (const auto* integer = std::get_if<int64_t>(&value)) return static_cast<double>(*integer);
  if (const auto* number = std::get_if<double>(&value)) return *number;
  return std::nullopt;
}

bool same_value(const AxisValue& a, const AxisValue& b) {
  const auto x = number_of(a), y = number_of(b);
  return x && y ? *x == *y : a == b;
}

// An axis that a row does not have did not touch its stage, so it does not tell the row apart.
bool axes_match(const Axes& wanted, const Axes& axes) {
  for (const auto& [name, value] : wanted) {
    const auto at = std::find_if(axes.begin(), axes.end(),
                                 [&name = name](const auto& axis) { return axis.first == name; });
    if (at != axes.end() && !same_value(at->second, value)) return false;
  }
  return true;
}

bool in_range(const std::optional<std::pair<int64_t, int64_t>>& range, const ResultRow& row) {
  if (!range) return true;
  if (!row.usage) return row.status == RowStatus::error;
  return row.usage->prompt_tokens >= range->first && row.usage->prompt_tokens <= range->second;
}

// The row reduced to the segments of that label; nullopt when it has none.
std::optional<ResultRow> with_label(const ResultRow& row, const std::string& label) {
  if (row.label == label) return row;
  ResultRow reduced = row;
  std::erase_if(reduced.segments, [&](const RowSegment& s) { return s.label != label; });
  if (reduced.segments.empty()) return std::nullopt;
  reduced.exact_match = metric_of(reduced, "segments.exact_match");
  return reduced;
}

bool says_no_label(const ResultRow& row) {
  return row.label.empty() && row.segments.empty();
}

struct Limits {
  double low, high;  // the mean's one-sided bounds
};

Limits bounds_of(const Distribution& values, std::string_view metric, double confidence) {
  const double two_sided = 2 * confidence - 1;
  const Interval i = is_accuracy(metric) ? values.wilson_interval(two_sided) : values.t_interval(two_sided);
  return {i.low, i.high};
}

Distribution with_errors(const Distribution& values, uint64_t n_errors, std::string_view metric) {
  Distribution all = values;
  if (is_accuracy(metric) && all.n() > 0) all.add_zeros(n_errors);
  return all;
}

std::string describe(const GateSpec& spec) {
  std::string text = fmt::format("{} {}({})", spec.stage, to_string(spec.agg), spec.metric);
  if (!spec.versus.empty()) text += " / " + spec.versus;
  return text;
}

}  // namespace

std::string_view to_string(GateAggregate aggregate) {
  return aggregate_names[static_cast<size_t>(aggregate)];
}
std::string_view to_string(GateResult::Status status) {
  return status_names[static_cast<size_t>(status)];
}

double aggregate_of(const Distribution& values, GateAggregate aggregate) {
  switch (aggregate) {
    case GateAggregate::mean:
      return values.mean();
    case GateAggregate::p50:
      return values.quantile(0.5);
    case GateAggregate::p90:
      return values.quantile(0.9);
    case GateAggregate::p99:
      return values.quantile(0.99);
    case GateAggregate::max:
      return values.max();
  }
  return values.mean();
}

GateJudge::GateJudge(std::vector<GateSpec> specs) : specs_(std::move(specs)), sides_(specs_.size()) {}

void GateJudge::add_to(Pools& pools, const GateSpec& spec, const ResultRow& row) {
  if (!axes_match(spec.where.axes, row.axes) || !in_range(spec.where.prompt_tokens, row)) return;
  Pool& pool = pools[row.cell];
  const auto& label = spec.where.label;
  if (row.status == RowStatus::error) {
    if (!label || says_no_label(row) || with_label(row, *label)) ++pool.n_errors;
    return;
  }
  if (row.status != RowStatus::ok) return;
  std::optional<ResultRow> reduced;
  if (label) {
    reduced = with_label(row, *label);
    if (!reduced) return;
  }
  if (const auto value = metric_of(reduced ? *reduced : row, spec.metric)) pool.values.add(*value);
}

void GateJudge::add(const ResultRow& row) {
  for (size_t i = 0; i < specs_.size(); ++i) {
    if (row.stage == specs_[i].stage) add_to(sides_[i].own, specs_[i], row);
    if (row.stage == specs_[i].versus) add_to(sides_[i].reference, specs_[i], row);
  }
}

GateResult GateJudge::judge_one(size_t gate, const std::string& cell) const {
  const GateSpec& spec = specs_[gate];
  GateResult result{.gate = gate, .cell = cell};
  const auto pooled = [&](const Pools& pools) {
    Pool all;
    if (spec.per == GateSpec::Per::cell) {
      auto at = pools.find(cell);
      if (at == pools.end()) at = pools.find("");  // a stage that no axis touches is shared by the cells
      if (at != pools.end()) all = at->second;
      return with_errors(all.values, all.n_errors, spec.metric);
    }
    for (const auto& entry : pools) {
      all.values.merge(entry.second.values);
      all.n_errors += entry.second.n_errors;
    }
    return with_errors(all.values, all.n_errors, spec.metric);
  };
  const Distribution own = pooled(sides_[gate].own);
  result.n = own.n();
  const auto cannot = [&](std::string_view why) {
    result.text = fmt::format("{}: not evaluable, {}", describe(spec), why);
    return result;
  };
  if (own.n() == 0) return cannot("no row has this metric");
  if (spec.confidence && spec.agg != GateAggregate::mean) return cannot("confidence is for agg = mean");
  double value = aggregate_of(own, spec.agg);
  Limits bounds = spec.confidence ? bounds_of(own, spec.metric, *spec.confidence) : Limits{value, value};
  if (!spec.versus.empty()) {
    const Distribution reference = pooled(sides_[gate].reference);
    if (reference.n() == 0) return cannot(fmt::format("stage {} has no row with this metric", spec.versus));
    const double base = aggregate_of(reference, spec.agg);
    if (!(base > 0)) return cannot(fmt::format("stage {} has {} = {}", spec.versus, spec.metric, base));
    // Conservative for a ratio: each side at its worse bound.
    const Limits other =
        spec.confidence ? bounds_of(reference, spec.metric, *spec.confidence) : Limits{base, base};
    bounds = {bounds.low / other.high,
              other.low > 0 ? bounds.high / other.low : std::numeric_limits<double>::infinity()};
    value /= base;
  }
  result.value = value;
  const bool low_holds = !spec.min || bounds.low >= *spec.min;
  const bool high_holds = !spec.max || bounds.high <= *spec.max;
  if (spec.confidence) result.bound = spec.min ? bounds.low : bounds.high;
  result.status = low_holds && high_holds ? GateResult::Status::ok : GateResult::Status::failed;
  result.text = fmt::format("{} = {:.6g} (n = {})", describe(spec), value, result.n);
  if (result.bound) result.text += fmt::format(", bound {:.6g}", *result.bound);
  if (spec.min) result.text += fmt::format(", min {:.6g}", *spec.min);
  if (spec.max) result.text += fmt::format(", max {:.6g}", *spec.max);
  return result;
}

std::vector<GateResult> GateJudge::judge(const std::vector<Cell>& cells) const {
  std::vector<GateResult> results;
  for (size_t i = 0; i < specs_.size(); ++i) {
    const Pools& own = sides_[i].own;
    const bool shared = own.size() == 1 && own.begin()->first.empty();
    if (specs_[i].per == GateSpec::Per::all || shared || cells.empty()) {
      results.push_back(judge_one(i, ""));
      continue;
    }
    const size_t before = results.size();
    for (const Cell& cell : cells) {
      if (axes_match(specs_[i].where.axes, cell.axes)) results.push_back(judge_one(i, cell.name));
    }
    if (results.size() == before) results.push_back(judge_one(i, ""));  // its `where` fits no cell
  }
  return results;
}

bool all_passed(const std::vector<GateResult>& results) {
  return std::all_of(results.begin(), results.end(),
                     [](const GateResult& r) { return r.status == GateResult::Status::ok; });
}

}  // namespace tenure
