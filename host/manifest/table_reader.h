// Reads one TOML table key by key: types, ranges and choices are checked, what was not asked for is unknown
// at the end. Every getter returns nothing when the key is absent or wrong; wrong values are reported to the
// collector.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "manifest/choices.h"
#include "manifest/findings.h"
#include "manifest/toml_document.h"

namespace tenure {

enum class NoteKeys { refused, allowed };  // keys that begin with "x-", for people's own notes

class TableReader {
 public:
  // `title` is how messages name the table: "[policy.locret]". Table and collector outlive the reader.
  TableReader(const TomlValue& table, std::string title, Findings& findings, NoteKeys = NoteKeys::refused);

  // The value, if present; the key is known from now on.
  const TomlMember* take(std::string_view key);
  // The same, and a finding when it is absent. `what` says what it would be: "a GGUF file".
  const TomlMember* require(std::string_view key, std::string_view what);

  std::optional<bool> boolean(std::string_view key);
  std::optional<int64_t> integer(std::string_view key, int64_t min, int64_t max);
  std::optional<uint32_t> count(std::string_view key, uint32_t min, uint32_t max = 1'000'000'000);
  std::optional<double> number(std::string_view key, double min, double max);  // an integer is a number
  std::optional<std::string> text(std::string_view key);                       // not empty
  std::optional<std::vector<std::string>> texts(std::string_view key);     // a string or a list of strings
  std::optional<uint64_t> size(std::string_view key);                      // "24 MiB" or bytes
  std::optional<std::chrono::nanoseconds> duration(std::string_view key);  // "20 ms"

  template <typename E>
  std::optional<E> choice(std::string_view key) {
    const TomlMember* member = take(key);
    return member ? choice_of<E>(key, member->value) : std::nullopt;
  }
  // One name or a list of names; in the order of the enum, without repeats.
  template <typename E>
  std::optional<std::vector<E>> choice_list(std::string_view key);

  // Reports every key that was not taken. `note` tells which keys there are; by default the taken ones are
  // listed.
  void finish(std::string_view note = {});

  void wrong_type(const TomlMember&, std::string_view wanted);
  void out_of_range(const TomlMember&, std::string_view found, std::string_view allowed);
  void bad_value(const TomlMember&, std::string_view wanted, std::string help = {});

  const TomlValue& table() const { return table_; }
  const std::string& title() const { return title_; }
  const std::vector<std::string>& known() const { return known_; }
  Findings& findings() { return findings_; }

 private:
  std::vector<std::string> string_items(const TomlMember&, bool& good);
  void not_a_choice(std::string_view key, const TomlValue&, const std::vector<std::string>& names);

  template <typename E>
  std::optional<E> choice_of(std::string_view key, const TomlValue& value) {
    std::vector<std::string> names;
    for (const Choice<E>& c : choices<E>) {
      if (value.is(TomlValue::Kind::string) && value.string == c.name) return c.value;
      names.emplace_back(c.name);
    }
    not_a_choice(key, value, names);
    return std::nullopt;
  }

  const TomlValue& table_;
  std::string title_;
  Findings& findings_;
  NoteKeys notes_;
  std::vector<std::string> known_;
};

template <typename E>
std::optional<std::vector<E>> TableReader::choice_list(std::string_view key) {
  const TomlMember* member = take(key);
  if (!member) return std::nullopt;
  const bool is_list = member->value.is(TomlValue::Kind::array);
  std::vector<E> found;
  const size_t n = is_list ? member->value.items.size() : 1;
  for (size_t i = 0; i < n; ++i) {
    const auto value = choice_of<E>(key, is_list ? member->value.items[i] : member->value);
    if (!value) return std::nullopt;
    found.push_back(*value);
  }
  std::vector<E> ordered;
  for (const Choice<E>& c : choices<E>) {
    for (E value : found) {
      if (value == c.value) {
        ordered.push_back(value);
        break;
      }
    }
  }
  return ordered;
}

}  // namespace tenure
