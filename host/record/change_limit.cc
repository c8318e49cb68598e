#include "record/change_limit.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "record/row.h"

namespace tenure {
namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view white = " \t";
  const size_t begin = text.find_first_not_of(white);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(white) - begin + 1);
}

std::optional<double> number_in(std::string_view text) {
  double value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

// Removes the ending from the text; false when it has another.
bool take_ending(std::string_view& text, std::string_view ending) {
  if (!text.ends_with(ending)) return false;
  text = trimmed(text.substr(0, text.size() - ending.size()));
  return true;
}

// In the unit of the metric: what one of the limit's units is.
double unit_size(const ChangeLimit& limit, double mean_a) {
  switch (limit.unit) {
    case ChangeLimit::Unit::percent:
      return std::fabs(mean_a) / 100;
    case ChangeLimit::Unit::points:
      return 0.01;
    case ChangeLimit::Unit::plain:
      break;
  }
  return 1;
}

ChangeVerdict judge_one(const ChangeLimit& limit, const PairedMetric& metric) {
  ChangeVerdict verdict{.n = metric.change.n()};
  const double unit = unit_size(limit, metric.a.mean());
  if (unit == 0) {
    verdict.cannot = "its mean in A is 0, of which there are no percent";
    return verdict;
  }
  if (limit.confidence && verdict.n < 2) {
    verdict.cannot = "one pair has no confidence interval";
    return verdict;
  }
  verdict.change = metric.change.mean() / unit;
  verdict.interval = {verdict.change, verdict.change};
  if (limit.confidence) {
    const Interval interval = metric.change.t_interval(*limit.confidence);
    verdict.interval = {interval.low / unit, interval.high / unit};
  }
  verdict.holds = limit.is_upper ? verdict.interval.low > limit.limit : verdict.interval.high < limit.limit;
  return verdict;
}

}  // namespace

std::variant<ChangeLimit, std::string> parse_change_limit(std::string_view text) {
  ChangeLimit limit{.text = std::string(trimmed(text))};
  const size_t sign = text.find_first_of("<>");
  if (sign == std::string_view::npos) return std::string("there is no < or >");
  limit.is_upper = text[sign] == '>';
  std::string_view name = trimmed(text.substr(0, sign));
  std::string_view value = trimmed(text.substr(sign + 1));
  if (const size_t slash = name.find('/'); slash != std::string_view::npos) {
    limit.stage = trimmed(name.substr(0, slash));
    name = trimmed(name.substr(slash + 1));
    if (limit.stage.empty()) return std::string("there is no stage before the /");
  }
  if (name.empty()) return std::string("there is no metric before the sign");
  limit.metric = name;
  if (const size_t at = value.find('@'); at != std::string_view::npos) {
    std::string_view confidence = trimmed(value.substr(at + 1));
    const std::optional<double> percent = take_ending(confidence, "%") ? number_in(confidence) : std::nullopt;
    if (!percent || *percent <= 0 || *percent >= 100) return std::string("after @ comes a confidence such as 95%");
    limit.confidence = *percent / 100;
    value = trimmed(value.substr(0, at));
  }
  if (take_ending(value, "pp")) {
    limit.unit = ChangeLimit::Unit::points;
    if (!is_accuracy(limit.metric)) return fmt::format("pp is for shares such as exact_match, and {} is none", limit.metric);
  } else if (take_ending(value, "%")) {
    limit.unit = ChangeLimit::Unit::percent;
  }
  const std::optional<double> number = number_in(value);
  if (!number) return fmt::format("\"{}\" is no number", value);
  limit.limit = *number;
  return limit;
}

std::vector<ChangeVerdict> judge(const ChangeLimit& limit, const PairedRuns& runs) {
  std::vector<ChangeVerdict> verdicts;
  for (const auto& [key, metric] : runs.metrics) {
    const auto& [stage, cell, path] = key;
    // As gates do, a compare stage's figure goes by its bare name too.
    const bool named = path == limit.metric || (limit.stage == stage && path == "compare." + limit.metric);
    if (!named || (!limit.stage.empty() && stage != limit.stage)) continue;
    ChangeVerdict& verdict = verdicts.emplace_back(judge_one(limit, metric));
    verdict.stage = stage;
    verdict.cell = cell;
    verdict.metric = path;
  }
  if (verdicts.empty()) {
    verdicts.push_back({.stage = limit.stage, .metric = limit.metric, .cannot = "no pair of rows has it"});
  }
  return verdicts;
}

}  // namespace tenure
