#include "manifest/table_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "manifest/quantities.h"

namespace tenure {

using Kind = TomlValue::Kind;

TableReader::TableReader(const TomlValue& table, std::string title, Findings& findings, NoteKeys notes)
    : table_(table), title_(std::move(title)), findings_(findings), notes_(notes) {}

const TomlMember* TableReader::take(std::string_view key) {
  if (std::find(known_.begin(), known_.end(), key) == known_.end()) known_.emplace_back(key);
  return table_.find(key);
}

const TomlMember* TableReader::require(std::string_view key, std::string_view what) {
  const TomlMember* member = take(key);
  if (!member) {
    findings_.add(table_.place, Code::missing_key,
                  fmt::format("missing key \"{}\" in {}: {}", key, title_, what));
  }
  return member;
}

void TableReader::wrong_type(const TomlMember& member, std::string_view wanted) {
  findings_.add(
      member.value.place, Code::wrong_type,
      fmt::format("\"{}\" in {} is {}; wanted {}", member.key, title_, kind_name(member.value.kind), wanted));
}

void TableReader::out_of_range(const TomlMember& member, std::string_view found, std::string_view allowed) {
  findings_.add(member.value.place, Code::out_of_range,
                fmt::format("\"{}\" in {} is {}; allowed: {}", member.key, title_, found, allowed));
}

void TableReader::bad_value(const TomlMember& member, std::string_view wanted, std::string help) {
  findings_.add(
      member.value.place, Code::bad_value,
      fmt::format("\"{}\" in {} is \"{}\"; wanted {}", member.key, title_, member.value.string, wanted),
      std::move(help));
}

std::optional<bool> TableReader::boolean(std::string_view key) {
  const TomlMember* member = take(key);
  if (!member) return std::nullopt;
  if (member->value.is(Kind::boolean)) return member->value.boolean;
  wrong_type(*member, "true or false");
  return std::nullopt;
}

std::optional<int64_t> TableReader::integer(std::string_view key, int64_t min, int64_t max) {
  const TomlMember* member = take(key);
  if (!member) return std::nullopt;
  const std::string allowed = max == std::numeric_limits<int64_t>::max()
                                  ? fmt::format("an integer from {}", min)
                                  : fmt::format("an integer from {} to {}", min, max);
  if (!member->value.is(Kind::integer)) {
    wrong_type(*member, allowed);
    return std::nullopt;
  }
  const int64_t value = member->value.integer;
  if (value >= min && value <= max) return value;
  out_of_range(*member, fmt::format("{}", value), allowed);
  return std::nullopt;
}

std::optional<uint32_t> TableReader::count(std::string_view key, uint32_t min, uint32_t max) {
  const auto value = integer(key, min, max);
  if (!value) return std::nullopt;
  return static_cast<uint32_t>(*value);
}

std::optional<double> TableReader::number(std::string_view key, double min, double max) {
  const TomlMember* member = take(key);
  if (!member) return std::nullopt;
  const bool is_integer = member->value.is(Kind::integer);
  const std::string allowed = std::isinf(max)
                                  ? fmt::format("a number from {}", number_text(min))
                                  : fmt::format("a number from {} to {}", number_text(min), number_text(max));
  if (!is_integer && !member->value.is(Kind::real)) {
    wrong_type(*member, allowed);
    return std::nullopt;
  }
  const double value = is_integer ? static_cast<double>(member->value.integer) : member->value.real;
  if (std::isfinite(value) && value >= min && value <= max) return value;
  out_of_range(*member, number_text(value), allowed);
  return std::nullopt;
}

std::optional<std::string> TableReader::text(std::string_view key) {
  const TomlMember* member = take(key);
  if (!member) return std::nullopt;
  if (!member->value.is(Kind::string)) {
    wrong_type(*member, "a string");
    return std::nullopt;
  }
  if (!member->value.string.empty()) return member->value.string;
  out_of_range(*member, "empty", "a string that is not empty");
  return std::nullopt;
}

std::vector<std::string> TableReader::string_items(const TomlMember& member, bool& good) {
  std::vector<std::string> strings;
  for (const TomlValue& item : member.value.items) {
    good = item.is(Kind::string) && !item.string.empty();
    if (!good) {
      findings_.add(item.place, Code::wrong_type,
                    fmt::format("\"{}\" in {} holds {}; wanted strings that are not empty", member.key,
                                title_, item.is(Kind::string) ? "an empty string" : kind_name(item.kind)));
      break;
    }
    strings.push_back(item.string);
  }
  return strings;
}

std::optional<std::vector<std::string>> TableReader::texts(std::string_view key) {
  const TomlMember* member = take(key);
  if (!member) return std::nullopt;
  if (member->value.is(Kind::string)) {
    const auto one = text(key);
    if (!one) return std::nullopt;
    return std::vector<std::string>{*one};
  }
  if (!member->value.is(Kind::array)) {
    wrong_type(*member, "a string or a list of strings");
    return std::nullopt;
  }
  bool good = true;
  auto strings = string_items(*member, good);
  if (!good) return std::nullopt;
  return strings;
}

std::optional<uint64_t> TableReader::size(std::string_view key) {
  const TomlMember* member = take(key);
  if (!member) return std::nullopt;
  if (member->value.is(Kind::integer)) {
    if (member->value.integer >= 0) return static_cast<uint64_t>(member->value.integer);
    out_of_range(*member, fmt::format("{}", member->value.integer), "a size such as \"24 MiB\", or bytes");
    return std::nullopt;
  }
  if (!member->value.is(Kind::string)) {
    wrong_type(*member, "a size such as \"24 MiB\", or bytes");
    return std::nullopt;
  }
  const auto bytes = parse_size(member->value.string);
  if (!bytes) bad_value(*member, "a size such as \"24 MiB\" (units B, kB, MB, GB, TB, KiB, MiB, GiB, TiB)");
  return bytes;
}

std::optional<std::chrono::nanoseconds> TableReader::duration(std::string_view key) {
  const TomlMember* member = take(key);
  if (!member) return std::nullopt;
  if (!member->value.is(Kind::string)) {
    wrong_type(*member, "a duration such as \"20 ms\"");
    return std::nullopt;
  }
  const auto value = parse_duration(member->value.string);
  if (!value) bad_value(*member, "a duration such as \"20 ms\" (units ns, us, ms, s, min, h, d)");
  return value;
}

void TableReader::not_a_choice(std::string_view key, const TomlValue& value,
                               const std::vector<std::string>& names) {
  const std::string wanted = names.size() == 1 ? fmt::format("\"{}\"", names.front())
                                               : fmt::format("one of \"{}\"", fmt::join(names, "\", \""));
  if (!value.is(Kind::string)) {
    findings_.add(value.place, Code::wrong_type,
                  fmt::format("\"{}\" in {} is {}; wanted {}", key, title_, kind_name(value.kind), wanted));
    return;
  }
  findings_.add(value.place, Code::bad_value,
                fmt::format("\"{}\" in {} is \"{}\"; wanted {}", key, title_, value.string, wanted),
                did_you_mean(value.string, names));
}

void TableReader::finish(std::string_view note) {
  for (const TomlMember& member : table_.members) {
    if (findings_.full()) return;
    if (notes_ == NoteKeys::allowed && member.key.starts_with("x-")) continue;
    if (std::find(known_.begin(), known_.end(), member.key) != known_.end()) continue;
    std::string help = did_you_mean(member.key, known_);
    if (!help.empty()) help += "  ";
    help += note.empty() ? fmt::format("(keys: {})", joined(known_)) : fmt::format("({})", note);
    findings_.add(member.key_place, Code::unknown_key,
                  fmt::format("unknown key \"{}\" in {}", member.key, title_), std::move(help));
  }
}

}  // namespace tenure
