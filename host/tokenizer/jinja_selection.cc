#include "tokenizer/jinja_selection.h"

#include <fmt/format.h>

#include <array>
#include <optional>
#include <string>

#include "tokenizer/jinja_builtins.h"
#include "tokenizer/jinja_operators.h"

namespace tenure::jinja {
namespace {

using Arguments = std::span<const Value>;

std::optional<std::string> name_of(const Value& argument, std::string_view what) {
  if (argument.is<Undefined>()) return std::nullopt;
  const auto* name = argument.as<std::string>();
  if (!name) throw Failure(fmt::format("{} must be a string, not {}", what, type_name(argument)));
  return *name;
}

std::string attribute_name(const Value& argument) {
  const std::string name = name_of(argument, "an attribute's name").value_or("");
  if (name.find('.') != std::string::npos) throw Failure("an attribute of an attribute is not supported");
  return name;
}

bool passes(const Value& value, const Builtin* test, const Value& argument) {
  if (!test) return truthy(value);
  std::array<Value, Builtin::max_parameters> arguments;
  arguments[0] = argument;
  return truthy(test->function(value, std::span(arguments).first(test->n_parameters())));
}

// `attribute` is empty where the elements themselves are tested.
Value selected(const Value& self, const std::string& attribute_of, Arguments test_arguments, bool wanted) {
  const std::optional<std::string> name = name_of(test_arguments[0], "a test's name");
  const Builtin* test = name ? find_test(*name) : nullptr;
  if (name && !test)
    throw Failure(fmt::format("the test {} is not supported (supported: {})", *name, test_names()));
  const Items items = elements(self);
  // A test such as `in` may go through all of its argument for every item; the evaluator charges it once.
  if (items.size() * weight(test_arguments[1]) > Limits::work_bytes)
    throw Failure(fmt::format("more than {} MiB of text handled", Limits::work_bytes >> 20));
  Items kept;
  for (const Value& item : items) {
    const Value tested = attribute_of.empty() ? item : attribute(item, attribute_of);
    if (passes(tested, test, test_arguments[1]) == wanted) kept.push_back(item);
  }
  return make_list(std::move(kept));
}

}  // namespace

Value filter_select(const Value& self, Arguments arguments) {
  return selected(self, "", arguments, true);
}

Value filter_reject(const Value& self, Arguments arguments) {
  return selected(self, "", arguments, false);
}

Value filter_selectattr(const Value& self, Arguments arguments) {
  return selected(self, attribute_name(arguments[0]), arguments.subspan(1), true);
}

Value filter_rejectattr(const Value& self, Arguments arguments) {
  return selected(self, attribute_name(arguments[0]), arguments.subspan(1), false);
}

Value filter_map(const Value& self, Arguments arguments) {
  const std::optional<std::string> name = name_of(arguments[0], "a filter's name");
  const Builtin* filter = name ? find_filter(*name) : nullptr;
  if (name && !filter)
    throw Failure(fmt::format("the filter {} is not supported (supported: {})", *name, filter_names()));
  if (filter && filter->n_required > 0) throw Failure(fmt::format("map: {} needs arguments", *name));
  const std::string of = filter ? "" : attribute_name(arguments[1]);
  const std::array<Value, Builtin::max_parameters> none;
  Items mapped;
  for (const Value& item : elements(self)) {
    mapped.push_back(filter ? filter->function(item, std::span(none).first(filter->n_parameters()))
                            : attribute(item, of));
  }
  return make_list(std::move(mapped));
}

}  // namespace tenure::jinja
