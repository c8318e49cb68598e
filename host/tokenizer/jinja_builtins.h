// Filters, tests and methods of the subset: tables of pure functions.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "tokenizer/jinja_value.h"

namespace tenure::jinja {

// A filter, test or method. `arguments` has one value per parameter, undefined where none was given.
struct Builtin {
  static constexpr size_t max_parameters = 3;

  std::string_view name;
  Value (*function)(const Value& self, std::span<const Value> arguments);
  std::array<std::string_view, max_parameters> parameters{};  // "" = no further ones
  uint8_t n_required = 0;

  size_t n_parameters() const;
};

// nullptr when the subset does not have it.
const Builtin* find_filter(std::string_view name);
const Builtin* find_test(std::string_view name);
const Builtin* find_method(std::string_view name);

// "a, b, c": for messages.
std::string filter_names();
std::string test_names();
std::string method_names();

}  // namespace tenure::jinja
