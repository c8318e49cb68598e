// JSON from strangers: a parsed line as a small tree. Refuses what nlohmann's own tree accepts silently or
// dies on: duplicate keys, deep nesting, millions of values in one line. Numbers keep their text, so 30-digit
// integers survive.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace tenure {

constexpr size_t max_json_depth = 64;
constexpr size_t max_json_values = size_t{1} << 22;  // 40 bytes each: 160 MiB for the worst line

struct JsonMember;

struct JsonNumber {
  std::string text;  // as written
};

struct JsonValue {
  using Array = std::vector<JsonValue>;
  using Object = std::vector<JsonMember>;  // in the line's order; keys are unique
  std::variant<std::monostate, bool, int64_t, JsonNumber, std::string, Array, Object> value;

  // nullptr when this is no object or has no such key.
  const JsonValue* find(std::string_view key) const;
  // Follows a dotted path through objects; a key that itself contains the dots wins.
  const JsonValue* at_path(std::string_view path) const;

  bool is_null() const { return std::holds_alternative<std::monostate>(value); }
  const std::string* string() const { return std::get_if<std::string>(&value); }
  const Array* array() const { return std::get_if<Array>(&value); }
  const Object* object() const { return std::get_if<Object>(&value); }
  std::optional<bool> boolean() const;
  std::optional<int64_t> integer() const;  // only what is written as an integer and fits
  std::optional<uint64_t> unsigned_integer() const;
  std::optional<double> number() const;
  std::string_view kind() const;  // "null", "a string", … for messages
};

struct JsonMember {
  std::string key;
  JsonValue value;
};

struct JsonFailure {
  std::string message;
};

// Never throws, save out of memory.
std::variant<JsonValue, JsonFailure> parse_json(std::string_view text);

// Compact JSON; numbers as they were written.
void append_json(std::string& out, const JsonValue& value);
// A quoted JSON string; invalid UTF-8 becomes U+FFFD.
void append_json_string(std::string& out, std::string_view text);
// Shortest text that reads back as the same double; null for NaN and infinity.
void append_json_number(std::string& out, double number);

}  // namespace tenure
