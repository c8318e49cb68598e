#include "manifest/quantities.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>

namespace tenure {
namespace {

__extension__ typedef unsigned __int128 Wide;

struct Unit {
  std::string_view name;
  uint64_t factor;
};

constexpr Unit size_units[] = {{"TiB", uint64_t{1} << 40},
                               {"GiB", uint64_t{1} << 30},
                               {"MiB", uint64_t{1} << 20},
                               {"KiB", uint64_t{1} << 10},
                               {"TB", 1'000'000'000'000},
                               {"GB", 1'000'000'000},
                               {"MB", 1'000'000},
                               {"kB", 1'000},
                               {"B", 1}};
constexpr uint64_t second = 1'000'000'000;
constexpr Unit time_units[] = {
    {"d", 86'400 * second}, {"h", 3'600 * second}, {"min", 60 * second}, {"m", 60 * second},
    {"s", second},          {"ms", 1'000'000},     {"us", 1'000},        {"ns", 1}};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::optional<uint64_t> parse_digits(std::string_view s) {
  constexpr size_t always_fits = 18;
  if (s.empty() || s.size() > always_fits) return std::nullopt;
  uint64_t value = 0;
  for (char c : s) {
    if (!is_digit(c)) return std::nullopt;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  return value;
}

// NUMBER [spaces] UNIT, exact, rounded down.
template <size_t n>
std::optional<uint64_t> parse_quantity(std::string_view s, const Unit (&units)[n]) {
  size_t end = 0;
  while (end < s.size() && (is_digit(s[end]) || s[end] == '.')) ++end;
  const std::string_view number = s.substr(0, end);
  std::string_view unit = s.substr(end);
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);

  const size_t dot = number.find('.');
  const std::string_view decimals = dot == std::string_view::npos ? "" : number.substr(dot + 1);
  if (dot != std::string_view::npos && decimals.empty()) return std::nullopt;
  const auto whole = parse_digits(number.substr(0, dot));
  const auto part = decimals.empty() ? std::optional<uint64_t>(0) : parse_digits(decimals);
  if (!whole || !part) return std::nullopt;
  Wide scale = 1;
  for (size_t i = 0; i < decimals.size(); ++i) scale *= 10;

  for (const Unit& u : units) {
    if (u.name != unit) continue;
    const Wide value = Wide{*whole} * u.factor + Wide{*part} * u.factor / scale;
    if (value > Wide{static_cast<uint64_t>(std::numeric_limits<int64_t>::max())}) return std::nullopt;
    return static_cast<uint64_t>(value);
  }
  return std::nullopt;
}

}  // namespace

uint64_t Fraction::rounded_up(uint64_t whole) const {
  return static_cast<uint64_t>((Wide{whole} * numerator + denominator - 1) / denominator);
}

uint64_t Fraction::rounded_down(uint64_t whole) const {
  return static_cast<uint64_t>(Wide{whole} * numerator / denominator);
}

std::optional<Fraction> parse_fraction(std::string_view s) {
  const size_t slash = s.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto numerator = parse_digits(s.substr(0, slash));
  const auto denominator = parse_digits(s.substr(slash + 1));
  if (!numerator || !denominator) return std::nullopt;
  return Fraction{*numerator, *denominator};
}

bool in_range(const Fraction& f) {
  return f.numerator > 0 && f.numerator <= f.denominator;
}

std::optional<uint64_t> parse_size(std::string_view s) {
  return parse_quantity(s, size_units);
}

std::optional<std::chrono::nanoseconds> parse_duration(std::string_view s) {
  const auto ns = parse_quantity(s, time_units);
  if (!ns) return std::nullopt;
  return std::chrono::nanoseconds(static_cast<int64_t>(*ns));
}

std::string to_text(const Fraction& f) {
  return fmt::format("{}/{}", f.numerator, f.denominator);
}

std::string size_text(uint64_t bytes) {
  for (const Unit& u : size_units) {
    if (bytes > 0 && bytes % u.factor == 0 && (u.factor & (u.factor - 1)) == 0) {
      return fmt::format("{} {}", bytes / u.factor, u.name);
    }
  }
  return fmt::format("{} B", bytes);
}

std::string duration_text(std::chrono::nanoseconds duration) {
  const uint64_t ns = static_cast<uint64_t>(duration.count());
  if (ns == 0) return "0 s";
  for (const Unit& u : time_units) {
    if (ns % u.factor == 0) return fmt::format("{} {}", ns / u.factor, u.name);
  }
  return fmt::format("{} ns", ns);
}

std::string number_text(double value) {
  char buffer[32];
  const auto result = std::to_chars(std::begin(buffer), std::end(buffer), value);
  return std::string(buffer, result.ptr);
}

}  // namespace tenure
