// Renders a syntax tree. Recursion is bounded by the tree's depth (Limits::depth of blocks, as much of
// expressions).
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizer/jinja_syntax.h"

namespace tenure::jinja {

// Throws Error(template_failed) with line and column, for what the template refuses (raise_exception), for
// what Python would refuse (undefined.attribute, 'a' + 1), and where it would use more than Limits allow.
// `source` is for messages.
std::string evaluate(const std::vector<Statement>& statements, const Fields& globals,
                     std::string_view source);

}  // namespace tenure::jinja
