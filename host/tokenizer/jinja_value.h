// Values of the Jinja subset that chat templates need (jinja_parser.h lists it). They behave as in Python.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace tenure::jinja {

// A template comes with a model file from a stranger: what it may use is bounded.
struct Limits {
  static constexpr uint32_t depth = 64;                  // nesting of blocks, expressions, lists
  static constexpr size_t text_bytes = 16 << 20;         // the output, and each string on the way
  static constexpr size_t loop_steps = 1'000'000;        // in all loops together
  static constexpr size_t value_bytes = 64 << 20;        // a list with all that is in it
  static constexpr size_t work_bytes = size_t{1} << 30;  // of values made and scanned on the way
};

// What went wrong while rendering; the evaluator adds the place and turns it into an Error.
struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Value;
using Items = std::vector<Value>;
using Fields = std::vector<std::pair<std::string, Value>>;  // insertion order, keys unique

struct Undefined {};
struct None {};
// Immutable, so shared between the values that hold it: `messages` is read in every iteration, never copied.
// `depth` is 1 + that of the deepest list or dict inside, `bytes` the weight of all that is inside.
struct List {
  std::shared_ptr<const Items> items;
  uint32_t depth;
  size_t bytes;
};
struct Dict {
  std::shared_ptr<const Fields> fields;
  uint32_t depth;
  size_t bytes;
};
// The one mutable value. It is never put into another value, so there are no cycles.
struct Namespace {
  std::shared_ptr<std::map<std::string, Value>> attributes;
};

struct Value {
  std::variant<Undefined, None, bool, int64_t, double, std::string, List, Dict, Namespace> data;

  template <typename T>
  bool is() const {
    return std::holds_alternative<T>(data);
  }
  template <typename T>
  const T* as() const {
    return std::get_if<T>(&data);
  }
};

// Throw Failure where a list would nest deeper or weigh more than the limits, or hold a namespace.
Value make_list(Items items);
Value make_dict(Fields fields);

const Value* find_field(const Dict& dict, std::string_view key);

// About what scanning or copying the value costs.
size_t weight(const Value& value);

bool truthy(const Value& value);
bool equal(const Value& a, const Value& b);
// Numbers with numbers, strings with strings (by code point); Failure otherwise.
bool less(const Value& a, const Value& b);
bool contains(const Value& container, const Value& item);
// Elements of a list, keys of a dict, characters of a string; nothing for undefined; Failure otherwise.
Items elements(const Value& value);

std::string_view type_name(const Value& value);
// What printing shows. Failure for lists, dicts and namespaces: Python's spelling of them is of no use in a
// prompt.
std::string to_text(const Value& value);
// As json.dumps(value, ensure_ascii=False, indent=indent) writes it; indent < 0 = one line.
std::string to_json(const Value& value, int64_t indent);

// Appends, or Failure past Limits::text_bytes.
void append_bounded(std::string& text, std::string_view part);

}  // namespace tenure::jinja
