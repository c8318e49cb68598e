#include "tokenizer/jinja_builtins.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>

#include "tokenizer/jinja_selection.h"
#include "tokenizer/jinja_text.h"

namespace tenure::jinja {
namespace {

using Arguments = std::span<const Value>;

const std::string& need_string(const Value& value, std::string_view what) {
  const auto* text = value.as<std::string>();
  if (!text) throw Failure(fmt::format("{} must be a string, not {}", what, type_name(value)));
  return *text;
}

int64_t integer_or(const Value& value, int64_t absent) {
  if (value.is<Undefined>() || value.is<None>()) return absent;
  const auto* integer = value.as<int64_t>();
  if (!integer) throw Failure(fmt::format("an argument must be an integer, not {}", type_name(value)));
  return *integer;
}

std::optional<std::string_view> text_or_none(const Value& value) {
  if (value.is<Undefined>() || value.is<None>()) return std::nullopt;
  return need_string(value, "an argument");
}

Value list_of(const std::vector<std::string>& texts) {
  Items items;
  items.reserve(texts.size());
  for (const std::string& text : texts) items.push_back({text});
  return make_list(std::move(items));
}

Value items_of(const Value& self) {
  Items pairs;
  const auto* dict = self.as<Dict>();
  if (!dict) throw Failure(fmt::format("items: {} is not a dict", type_name(self)));
  for (const auto& [key, value] : *dict->fields) pairs.push_back(make_list({{key}, value}));
  return make_list(std::move(pairs));
}

// Filters take anything that can be printed, methods only strings.
template <Case to>
Value filter_case(const Value& self, Arguments) {
  return {change_case(to_text(self), to)};
}
template <Case to>
Value method_case(const Value& self, Arguments) {
  return {change_case(need_string(self, "what a string method is called on"), to)};
}

Value filter_trim(const Value& self, Arguments arguments) {
  return {std::string(strip(to_text(self), Side::both, text_or_none(arguments[0])))};
}

template <Side side>
Value method_strip(const Value& self, Arguments arguments) {
  return {std::string(strip(need_string(self, "what is stripped"), side, text_or_none(arguments[0])))};
}

Value filter_length(const Value& self, Arguments) {
  if (const auto* text = self.as<std::string>()) return {static_cast<int64_t>(n_code_points(*text))};
  if (const auto* list = self.as<List>()) return {static_cast<int64_t>(list->items->size())};
  if (const auto* dict = self.as<Dict>()) return {static_cast<int64_t>(dict->fields->size())};
  if (self.is<Undefined>()) return {int64_t{0}};
  throw Failure(fmt::format("{} has no length", type_name(self)));
}

Value filter_default(const Value& self, Arguments arguments) {
  const bool replaced = self.is<Undefined>() || (truthy(arguments[1]) && !truthy(self));
  if (!replaced) return self;
  return arguments[0].is<Undefined>() ? Value{std::string()} : arguments[0];
}

Value filter_join(const Value& self, Arguments arguments) {
  const std::string separator = to_text(arguments[0]);
  std::string joined;
  bool first = true;
  for (const Value& item : elements(self)) {
    if (!first) append_bounded(joined, separator);
    first = false;
    append_bounded(joined, to_text(item));
  }
  return {joined};
}

Value filter_tojson(const Value& self, Arguments arguments) {
  return {to_json(self, integer_or(arguments[0], -1))};
}

Value filter_first(const Value& self, Arguments) {
  const Items items = elements(self);
  return items.empty() ? Value{} : items.front();
}

Value filter_last(const Value& self, Arguments) {
  const Items items = elements(self);
  return items.empty() ? Value{} : items.back();
}

Value filter_replace(const Value& self, Arguments arguments) {
  return {replace(to_text(self), to_text(arguments[0]), to_text(arguments[1]), integer_or(arguments[2], -1))};
}

Value method_replace(const Value& self, Arguments arguments) {
  return {replace(need_string(self, "what replace is called on"),
                  need_string(arguments[0], "replace: the first argument"),
                  need_string(arguments[1], "replace: the second argument"), integer_or(arguments[2], -1))};
}

// Jinja's filter takes undefined for an empty dict; the method does not.
Value filter_items(const Value& self, Arguments) {
  return self.is<Undefined>() ? make_list({}) : items_of(self);
}

Value filter_reverse(const Value& self, Arguments) {
  Items items = elements(self);
  std::reverse(items.begin(), items.end());
  if (!self.is<std::string>()) return make_list(std::move(items));
  std::string reversed;
  for (const Value& character : items) reversed += *character.as<std::string>();
  return {reversed};
}

Value filter_list(const Value& self, Arguments) {
  return make_list(elements(self));
}

Value filter_string(const Value& self, Arguments) {
  return {to_text(self)};
}

// Like Python's int() with Jinja's fallback 0; text must be a decimal integer.
Value filter_int(const Value& self, Arguments) {
  if (self.is<int64_t>()) return self;
  if (const auto* flag = self.as<bool>()) return {int64_t{*flag}};
  if (const auto* text = self.as<std::string>()) {
    std::string_view digits = strip(*text, Side::both);
    if (digits.starts_with('+') && !digits.starts_with("+-")) digits.remove_prefix(1);
    int64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error == std::errc() && end == digits.data() + digits.size()) return {value};
    // "3.7" and "1_000" have their own rules in Python; guessing 0 would be silent.
    if (digits.find_first_of("0123456789") != std::string_view::npos) {
      throw Failure(fmt::format("int: \"{}\" is not a decimal integer", *text));
    }
    return {int64_t{0}};
  }
  throw Failure(fmt::format("int: {} is not supported", type_name(self)));
}

Value method_split(const Value& self, Arguments arguments) {
  return list_of(
      split(need_string(self, "what is split"), text_or_none(arguments[0]), integer_or(arguments[1], -1)));
}

// An affix is a string, or a list of them of which one must fit.
template <bool at_end>
Value method_affix(const Value& self, Arguments arguments) {
  const std::string_view text = need_string(self, "what startswith or endswith is called on");
  const auto fits = [&](const Value& affix) {
    const std::string& part = need_string(affix, "an affix");
    return at_end ? text.ends_with(part) : text.starts_with(part);
  };
  if (const auto* list = arguments[0].as<List>()) {
    return {std::any_of(list->items->begin(), list->items->end(), fits)};
  }
  return {fits(arguments[0])};
}

Value method_items(const Value& self, Arguments) {
  return items_of(self);
}

Value method_keys(const Value& self, Arguments) {
  if (!self.is<Dict>()) throw Failure(fmt::format("keys: {} is not a dict", type_name(self)));
  return make_list(elements(self));
}

Value method_values(const Value& self, Arguments) {
  const auto* dict = self.as<Dict>();
  if (!dict) throw Failure(fmt::format("values: {} is not a dict", type_name(self)));
  Items items;
  for (const auto& field : *dict->fields) items.push_back(field.second);
  return make_list(std::move(items));
}

Value method_get(const Value& self, Arguments arguments) {
  const auto* dict = self.as<Dict>();
  if (!dict) throw Failure(fmt::format("get: {} is not a dict", type_name(self)));
  const auto* key = arguments[0].as<std::string>();
  if (const Value* field = key ? find_field(*dict, *key) : nullptr) return *field;
  return arguments[1].is<Undefined>() ? Value{None{}} : arguments[1];
}

template <typename... Types>
Value test_is(const Value& self, Arguments) {
  return {(self.is<Types>() || ...)};
}

template <bool wanted>
Value test_flag(const Value& self, Arguments) {
  const auto* flag = self.as<bool>();
  return {flag && *flag == wanted};
}

template <int64_t remainder>
Value test_parity(const Value& self, Arguments) {
  const auto* integer = self.as<int64_t>();
  if (!integer) throw Failure(fmt::format("{} is neither odd nor even", type_name(self)));
  return {(*integer & 1) == remainder};
}

template <bool wanted>
Value test_equal(const Value& self, Arguments arguments) {
  return {equal(self, arguments[0]) == wanted};
}

Value test_in(const Value& self, Arguments arguments) {
  return {contains(arguments[0], self)};
}

Value test_defined(const Value& self, Arguments) {
  return {!self.is<Undefined>()};
}

const Builtin filters[] = {
    {"trim", filter_trim, {"chars"}},
    {"upper", filter_case<Case::upper>},
    {"lower", filter_case<Case::lower>},
    {"capitalize", filter_case<Case::capitalize>},
    {"title", filter_case<Case::title_words>},
    {"length", filter_length},
    {"count", filter_length},
    {"default", filter_default, {"default_value", "boolean"}},
    {"d", filter_default, {"default_value", "boolean"}},
    {"join", filter_join, {"d"}},
    {"tojson", filter_tojson, {"indent"}},
    {"first", filter_first},
    {"last", filter_last},
    {"replace", filter_replace, {"old", "new", "count"}, 2},
    {"items", filter_items},
    {"reverse", filter_reverse},
    {"list", filter_list},
    {"string", filter_string},
    {"int", filter_int},
    {"select", filter_select, {"test", "argument"}},
    {"reject", filter_reject, {"test", "argument"}},
    {"selectattr", filter_selectattr, {"name", "test", "argument"}, 1},
    {"rejectattr", filter_rejectattr, {"name", "test", "argument"}, 1},
    {"map", filter_map, {"filter", "attribute"}},
};

const Builtin tests[] = {
    {"defined", test_defined},
    {"undefined", test_is<Undefined>},
    {"none", test_is<None>},
    {"string", test_is<std::string>},
    {"mapping", test_is<Dict>},
    {"iterable", test_is<std::string, List, Dict, Undefined>},
    {"sequence", test_is<std::string, List, Dict, Undefined>},
    {"number", test_is<bool, int64_t, double>},
    {"integer", test_is<int64_t>},
    {"float", test_is<double>},
    {"boolean", test_is<bool>},
    {"odd", test_parity<1>},
    {"even", test_parity<0>},
    {"equalto", test_equal<true>, {"other"}, 1},
    {"eq", test_equal<true>, {"other"}, 1},
    {"ne", test_equal<false>, {"other"}, 1},
    {"in", test_in, {"seq"}, 1},
    {"true", test_flag<true>},
    {"false", test_flag<false>},
};

const Builtin methods[] = {
    {"strip", method_strip<Side::both>, {"chars"}},
    {"lstrip", method_strip<Side::left>, {"chars"}},
    {"rstrip", method_strip<Side::right>, {"chars"}},
    {"startswith", method_affix<false>, {"prefix"}, 1},
    {"endswith", method_affix<true>, {"suffix"}, 1},
    {"split", method_split, {"sep", "maxsplit"}},
    {"upper", method_case<Case::upper>},
    {"lower", method_case<Case::lower>},
    {"capitalize", method_case<Case::capitalize>},
    {"title", method_case<Case::title_letters>},
    {"replace", method_replace, {"old", "new", "count"}, 2},
    {"items", method_items},
    {"keys", method_keys},
    {"values", method_values},
    {"get", method_get, {"key", "default"}, 1},
};

const Builtin* find(std::span<const Builtin> table, std::string_view name) {
  const auto found =
      std::find_if(table.begin(), table.end(), [&](const Builtin& entry) { return entry.name == name; });
  return found == table.end() ? nullptr : &*found;
}

std::string names(std::span<const Builtin> table) {
  std::string joined;
  for (const Builtin& entry : table) joined.append(joined.empty() ? "" : ", ").append(entry.name);
  return joined;
}

}  // namespace

size_t Builtin::n_parameters() const {
  return static_cast<size_t>(std::find(parameters.begin(), parameters.end(), "") - parameters.begin());
}

const Builtin* find_filter(std::string_view name) {
  return find(filters, name);
}
const Builtin* find_test(std::string_view name) {
  return find(tests, name);
}
const Builtin* find_method(std::string_view name) {
  return find(methods, name);
}
std::string filter_names() {
  return names(filters);
}
std::string test_names() {
  return names(tests);
}
std::string method_names() {
  return names(methods);
}

}  // namespace tenure::jinja
