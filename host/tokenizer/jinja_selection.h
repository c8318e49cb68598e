// Filters that apply a test or a filter to every element: select, reject, selectattr, rejectattr, map.
#pragma once

#include <span>

#include "tokenizer/jinja_value.h"

namespace tenure::jinja {

// Arguments: the test's name (none: is it true?) and what the test is given.
Value filter_select(const Value& self, std::span<const Value> arguments);
Value filter_reject(const Value& self, std::span<const Value> arguments);
// Arguments: the attribute that is tested, then the same.
Value filter_selectattr(const Value& self, std::span<const Value> arguments);
Value filter_rejectattr(const Value& self, std::span<const Value> arguments);
// Arguments: a filter's name, or else the attribute that takes an element's place.
Value filter_map(const Value& self, std::span<const Value> arguments);

}  // namespace tenure::jinja
