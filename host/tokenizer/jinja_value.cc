#include "tokenizer/jinja_value.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "tokenizer/utf8.h"

namespace tenure::jinja {
namespace {

// Sums up what a list or dict holds, and refuses what would be too much.
class Contents {
 public:
  void add(const Value& value) {
    uint32_t depth = 0;
    if (const auto* list = value.as<List>()) depth = list->depth;
    if (const auto* dict = value.as<Dict>()) depth = dict->depth;
    if (value.is<Namespace>()) throw Failure("a namespace cannot be put into a list or a dict");
    if (depth >= Limits::depth) throw Failure(fmt::format("lists nest deeper than {}", Limits::depth));
    depth_ = std::max(depth_, depth + 1);
    bytes_ += weight(value);
    if (bytes_ > Limits::value_bytes)
      throw Failure(fmt::format("a list of more than {} MiB", Limits::value_bytes >> 20));
  }
  uint32_t depth() const { return depth_; }
  size_t bytes() const { return bytes_; }

 private:
  uint32_t depth_ = 1;
  size_t bytes_ = 0;
};

// true and false are the numbers 1 and 0, as in Python.
std::optional<double> as_number(const Value& value) {
  if (const auto* b = value.as<bool>()) return *b ? 1 : 0;
  if (const auto* i = value.as<int64_t>()) return static_cast<double>(*i);
  if (const auto* d = value.as<double>()) return *d;
  return std::nullopt;
}

std::optional<int64_t> as_integer(const Value& value) {
  if (const auto* b = value.as<bool>()) return *b ? 1 : 0;
  if (const auto* i = value.as<int64_t>()) return *i;
  return std::nullopt;
}

// Python's repr: the shortest that reads back, always with a point or an exponent.
std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

class JsonWriter {
 public:
  explicit JsonWriter(int64_t indent) : indent_(indent) {}

  void write(const Value& value) {
    if (const auto* text = value.as<std::string>()) return write_string(*text);
    if (const auto* list = value.as<List>()) {
      return write_container('[', ']', *list->items, [&](const Value& item) { write(item); });
    }
    if (const auto* dict = value.as<Dict>()) {
      return write_container('{', '}', *dict->fields, [&](const Fields::value_type& field) {
        write_string(field.first);
        append_bounded(text_, ": ");
        write(field.second);
      });
    }
    if (const auto* flag = value.as<bool>()) return append_bounded(text_, *flag ? "true" : "false");
    if (value.is<None>()) return append_bounded(text_, "null");
    if (const auto* number = value.as<double>()) return write_float(*number);
    if (const auto* integer = value.as<int64_t>()) return append_bounded(text_, std::to_string(*integer));
    throw Failure(fmt::format("tojson: {} has no JSON form", type_name(value)));
  }

  std::string take() { return std::move(text_); }

 private:
  template <typename Elements, typename Write>
  void write_container(char open, char close, const Elements& all, Write write_element) {
    text_ += open;
    ++level_;
    bool first = true;
    for (const auto& element : all) {
      if (!first) append_bounded(text_, indent_ < 0 ? ", " : ",");
      first = false;
      new_line();
      write_element(element);
    }
    --level_;
    if (!first) new_line();
    text_ += close;
  }

  void new_line() {
    if (indent_ >= 0) append_bounded(text_, "\n" + std::string(static_cast<size_t>(indent_) * level_, ' '));
  }

  void write_float(double number) {
    if (std::isfinite(number)) return append_bounded(text_, float_text(number));
    append_bounded(text_, std::isnan(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity");
  }

  void write_string(std::string_view text) {
    std::string quoted = "\"";
    for (char c : text) {
      switch (c) {
        case '"':
          quoted += "\\\"";
          break;
        case '\\':
          quoted += "\\\\";
          break;
        case '\n':
          quoted += "\\n";
          break;
        case '\r':
          quoted += "\\r";
          break;
        case '\t':
          quoted += "\\t";
          break;
        case '\b':
          quoted += "\\b";
          break;
        case '\f':
          quoted += "\\f";
          break;
        default:
          if (static_cast<uint8_t>(c) < 0x20) {
            quoted += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
          } else {
            quoted += c;
          }
      }
    }
    append_bounded(text_, quoted += '"');
  }

  std::string text_;
  int64_t indent_;
  size_t level_ = 0;
};

}  // namespace

Value make_list(Items items) {
  Contents contents;
  for (const Value& item : items) contents.add(item);
  return {List{std::make_shared<const Items>(std::move(items)), contents.depth(), contents.bytes()}};
}

Value make_dict(Fields fields) {
  Contents contents;
  for (const auto& field : fields) contents.add(field.second);
  return {Dict{std::make_shared<const Fields>(std::move(fields)), contents.depth(), contents.bytes()}};
}

size_t weight(const Value& value) {
  constexpr size_t scalar = 64;
  if (const auto* text = value.as<std::string>()) return scalar + text->size();
  if (const auto* list = value.as<List>()) return scalar + list->bytes;
  if (const auto* dict = value.as<Dict>()) return scalar + dict->bytes;
  return scalar;
}

const Value* find_field(const Dict& dict, std::string_view key) {
  for (const auto& [name, value] : *dict.fields) {
    if (name == key) return &value;
  }
  return nullptr;
}

bool truthy(const Value& value) {
  if (const auto number = as_number(value)) return *number != 0;
  if (const auto* text = value.as<std::string>()) return !text->empty();
  if (const auto* list = value.as<List>()) return !list->items->empty();
  if (const auto* dict = value.as<Dict>()) return !dict->fields->empty();
  return value.is<Namespace>();
}

bool equal(const Value& a, const Value& b) {
  const auto x = as_integer(a);
  const auto y = as_integer(b);
  if (x && y) return *x == *y;
  if (as_number(a) && as_number(b)) return *as_number(a) == *as_number(b);
  if (a.data.index() != b.data.index()) return false;
  if (const auto* text = a.as<std::string>()) return *text == *b.as<std::string>();
  if (const auto* list = a.as<List>()) {
    const Items& other = *b.as<List>()->items;
    return std::equal(list->items->begin(), list->items->end(), other.begin(), other.end(), equal);
  }
  if (const auto* dict = a.as<Dict>()) {
    const Dict& other = *b.as<Dict>();
    return dict->fields->size() == other.fields->size() &&
           std::all_of(dict->fields->begin(), dict->fields->end(), [&](const auto& field) {
             const Value* match = find_field(other, field.first);
             return match && equal(field.second, *match);
           });
  }
  if (const auto* space = a.as<Namespace>()) return space->attributes == b.as<Namespace>()->attributes;
  return true;  // undefined, none
}

bool less(const Value& a, const Value& b) {
  const auto x = as_integer(a);
  const auto y = as_integer(b);
  if (x && y) return *x < *y;
  if (as_number(a) && as_number(b)) return *as_number(a) < *as_number(b);
  const auto* left = a.as<std::string>();
  const auto* right = b.as<std::string>();
  if (left && right) return *left < *right;  // the order of UTF-8 bytes is that of code points
  throw Failure(fmt::format("cannot order {} and {}", type_name(a), type_name(b)));
}

bool contains(const Value& container, const Value& item) {
  if (const auto* text = container.as<std::string>()) {
    const auto* part = item.as<std::string>();
    if (!part) throw Failure(fmt::format("`in` looks for a string in a string, not for {}", type_name(item)));
    return text->find(*part) != std::string::npos;
  }
  if (const auto* dict = container.as<Dict>()) {
    const auto* key = item.as<std::string>();
    return key && find_field(*dict, *key);
  }
  if (container.is<Undefined>()) return false;
  const auto* list = container.as<List>();
  if (!list) throw Failure(fmt::format("`in` cannot look into {}", type_name(container)));
  return std::any_of(list->items->begin(), list->items->end(),
                     [&](const Value& x) { return equal(x, item); });
}

Items elements(const Value& value) {
  if (const auto* list = value.as<List>()) return *list->items;
  Items items;
  if (const auto* dict = value.as<Dict>()) {
    for (const auto& field : *dict->fields) items.push_back({field.first});
  } else if (const auto* text = value.as<std::string>()) {
    if (text->size() > Limits::loop_steps)
      throw Failure("a string of more than a million bytes cannot be iterated");
    for (std::string_view left = *text; !left.empty();) {
      const size_t n = read_utf8(left).n_bytes;
      items.push_back({std::string(left.substr(0, n))});
      left.remove_prefix(n);
    }
  } else if (!value.is<Undefined>()) {
    throw Failure(fmt::format("{} cannot be iterated", type_name(value)));
  }
  return items;
}

std::string_view type_name(const Value& value) {
  constexpr std::string_view names[] = {"undefined", "none",   "a boolean", "an integer", "a float",
                                        "a string",  "a list", "a dict",    "a namespace"};
  return names[value.data.index()];
}

std::string to_text(const Value& value) {
  if (const auto* text = value.as<std::string>()) return *text;
  if (value.is<Undefined>()) return "";
  if (value.is<None>()) return "None";
  if (const auto* flag = value.as<bool>()) return *flag ? "True" : "False";
  if (const auto* integer = value.as<int64_t>()) return std::to_string(*integer);
  if (const auto* number = value.as<double>()) return float_text(*number);
  throw Failure(fmt::format("{} cannot be printed (use tojson)", type_name(value)));
}

std::string to_json(const Value& value, int64_t indent) {
  JsonWriter writer(std::min<int64_t>(indent, 64));
  writer.write(value);
  return writer.take();
}

void append_bounded(std::string& text, std::string_view part) {
  if (part.size() > Limits::text_bytes - text.size()) {
    throw Failure(fmt::format("a text longer than {} MiB", Limits::text_bytes >> 20));
  }
  text += part;
}

}  // namespace tenure::jinja
