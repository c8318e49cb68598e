#include "record/json_value.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>

namespace tenure {
namespace {

// nlohmann reports events and keeps no tree; its parser itself does not recurse.
class TreeBuilder {
 public:
  bool null() { return put({}); }
  bool boolean(bool v) { return put({v}); }
  bool number_integer(int64_t v) { return put({v}); }
  bool number_unsigned(uint64_t v) {
    if (v <= static_cast<uint64_t>(INT64_MAX)) return put({static_cast<int64_t>(v)});
    return put({JsonNumber{std::to_string(v)}});
  }
  bool number_float(double, const std::string& text) { return put({JsonNumber{text}}); }
  bool string(std::string& v) { return put({std::move(v)}); }
  bool binary(nlohmann::json::binary_t&) { return fail("binary value"); }
  bool start_object(size_t) { return open({JsonValue::Object{}}); }
  bool start_array(size_t) { return open({JsonValue::Array{}}); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool key(std::string& name) {
    Level& level = levels_.back();
    if (!level.keys.insert(name).second) return fail(fmt::format("key \"{}\" occurs twice", name));
    level.pending_key = std::move(name);
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception& e) {
    std::string_view text = e.what();
    if (const size_t end = text.find("] "); end != std::string_view::npos) text.remove_prefix(end + 2);
    return fail(std::string(text.substr(0, 300)));
  }

  JsonValue root;
  std::string failure;

 private:
  struct Level {
    JsonValue value;
    std::string pending_key;
    std::unordered_set<std::string> keys;
  };

  bool fail(std::string message) {
    if (failure.empty()) failure = std::move(message);
    return false;
  }

  bool count() {
    return ++n_values_ <= max_json_values ||
           fail(fmt::format("more than {} values in one line", max_json_values));
  }

  bool put(JsonValue value) { return count() && attach(std::move(value)); }

  bool attach(JsonValue value) {
    if (levels_.empty()) {
      root = std::move(value);
      return true;
    }
    Level& level = levels_.back();
    if (auto* items = std::get_if<JsonValue::Array>(&level.value.value)) {
      items->push_back(std::move(value));
    } else {
      std::get<JsonValue::Object>(level.value.value)
          .push_back({std::move(level.pending_key), std::move(value)});
    }
    return true;
  }

  bool open(JsonValue value) {
    if (!count()) return false;
    if (levels_.size() == max_json_depth)
      return fail(fmt::format("nested deeper than {} levels", max_json_depth));
    levels_.push_back({std::move(value), {}, {}});
    return true;
  }

  bool close() {
    JsonValue done = std::move(levels_.back().value);
    levels_.pop_back();
    return attach(std::move(done));
  }

  std::vector<Level> levels_;
  size_t n_values_ = 0;
};

template <class Number>
std::optional<Number> read_number(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

const JsonValue* JsonValue::find(std::string_view key) const {
  const Object* members = object();
  if (!members) return nullptr;
  for (const JsonMember& member : *members) {
    if (member.key == key) return &member.value;
  }
  return nullptr;
}

const JsonValue* JsonValue::at_path(std::string_view path) const {
  const JsonValue* at = this;
  while (at) {
    if (const JsonValue* whole = at->find(path)) return whole;
    const size_t dot = path.find('.');
    if (dot == std::string_view::npos) return nullptr;
    at = at->find(path.substr(0, dot));
    path.remove_prefix(dot + 1);
  }
  return nullptr;
}

std::optional<bool> JsonValue::boolean() const {
  const bool* v = std::get_if<bool>(&value);
  return v ? std::optional<bool>(*v) : std::nullopt;
}

std::optional<int64_t> JsonValue::integer() const {
  const int64_t* v = std::get_if<int64_t>(&value);
  return v ? std::optional<int64_t>(*v) : std::nullopt;
}

std::optional<uint64_t> JsonValue::unsigned_integer() const {
  if (const int64_t* v = std::get_if<int64_t>(&value)) {
    return *v >= 0 ? std::optional<uint64_t>(static_cast<uint64_t>(*v)) : std::nullopt;
  }
  const JsonNumber* text = std::get_if<JsonNumber>(&value);
  return text ? read_number<uint64_t>(text->text) : std::nullopt;
}

std::optional<double> JsonValue::number() const {
  if (const int64_t* v = std::get_if<int64_t>(&value)) return static_cast<double>(*v);
  const JsonNumber* text = std::get_if<JsonNumber>(&value);
  return text ? read_number<double>(text->text) : std::nullopt;
}

std::string_view JsonValue::kind() const {
  constexpr std::string_view names[] = {"null",     "a boolean", "an integer", "a number",
                                        "a string", "an array",  "an object"};
  return names[value.index()];
}

std::variant<JsonValue, JsonFailure> parse_json(std::string_view text) {
  TreeBuilder builder;
  const bool done = nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
  if (!done) return JsonFailure{std::move(builder.failure)};
  return std::move(builder.root);
}

namespace {

struct JsonAppender {
  std::string& out;

  void operator()(std::monostate) const { out += "null"; }
  void operator()(bool v) const { out += v ? "true" : "false"; }
  void operator()(int64_t v) const { fmt::format_to(std::back_inserter(out), "{}", v); }
  void operator()(const JsonNumber& v) const { out += v.text; }
  void operator()(const std::string& v) const { append_json_string(out, v); }
  void operator()(const JsonValue::Array& items) const {
    out += '[';
    for (const JsonValue& item : items) {
      if (&item != &items.front()) out += ',';
      append_json(out, item);
    }
    out += ']';
  }
  void operator()(const JsonValue::Object& members) const {
    out += '{';
    for (const JsonMember& member : members) {
      if (&member != &members.front()) out += ',';
      append_json_string(out, member.key);
      out += ':';
      append_json(out, member.value);
    }
    out += '}';
  }
};

}  // namespace

void append_json(std::string& out, const JsonValue& value) {
  std::visit(JsonAppender{out}, value.value);
}

void append_json_string(std::string& out, std::string_view text) {
  out += nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void append_json_number(std::string& out, double number) {
  if (!std::isfinite(number)) {
    out += "null";
  } else if (number == std::floor(number) && std::fabs(number) < 1e15) {
    fmt::format_to(std::back_inserter(out), "{}", static_cast<int64_t>(number));
  } else {
    fmt::format_to(std::back_inserter(out), "{}", number);
  }
}

}  // namespace tenure
