#include "check/verdict.h"

#include <fmt/format.h>

#include <algorithm>

namespace tenure {
namespace {

constexpr char separator = '\t';
constexpr std::string_view ending = "\n";

}  // namespace

std::string_view name_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::ok:
      return "ok";
    case Outcome::failed:
      return "FAILED";
    case Outcome::unavailable:
      return "refused";
    case Outcome::skipped:
    case Outcome::stopped:
      break;
  }
  return "skipped";
}

std::string to_line(const Verdict& verdict) {
  std::string text = verdict.text;
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  return fmt::format("{}{}{}{}{}{}", static_cast<int>(verdict.outcome), separator, info(verdict.by).id,
                     separator, text, ending);
}

std::optional<Verdict> verdict_of(std::string_view line) {
  const size_t first = line.find(separator);
  const size_t second = first == std::string_view::npos ? first : line.find(separator, first + 1);
  const size_t end = second == std::string_view::npos ? second : line.find(ending, second);
  if (end == std::string_view::npos || first != 1) return std::nullopt;
  const int outcome = line[0] - '0';
  const std::optional<Rule> by = rule_of(line.substr(first + 1, second - first - 1));
  if (outcome < 0 || outcome > static_cast<int>(Outcome::unavailable) || !by) return std::nullopt;
  return Verdict{.outcome = static_cast<Outcome>(outcome),
                 .text = std::string(line.substr(second + 1, end - second - 1)),
                 .by = *by};
}

}  // namespace tenure
