// Operators, subscripts and slices as Python defines them.
#pragma once

#include <optional>

#include "tokenizer/jinja_syntax.h"

namespace tenure::jinja {

// Throws Failure for types that do not go together, division by zero, and integers beyond 64 bits.
Value apply(Operator op, const Value& left, const Value& right);
Value negate(const Value& value);

// Undefined where there is no such attribute or element; Failure for one of undefined.
Value attribute(const Value& subject, const std::string& name);
Value subscript(const Value& subject, const Value& index);

struct SliceBounds {
  std::optional<int64_t> begin;
  std::optional<int64_t> end;
  std::optional<int64_t> step;
};
Value slice(const Value& subject, const SliceBounds& bounds);

}  // namespace tenure::jinja
