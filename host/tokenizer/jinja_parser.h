// The subset of Jinja2 that chat templates use. Everything else is refused when the template is read, with
// its line and column, so that no request meets it.
//
// Statements: for (with if and else), if/elif/else, set (values, several targets, namespace attributes,
// blocks). Expressions: literals, lists, dicts, names, attributes, subscripts, slices, the filters, tests and
// methods of jinja_builtins.cc, + - * / // % ~, comparisons, in, not in, and, or, not, `a if c else b`,
// namespace(), range(), raise_exception(), loop.*. strftime_now() may be named, as templates do behind `is
// defined`, but it is never defined: a prompt must not depend on the clock.
#pragma once

#include <string>
#include <vector>

#include "tokenizer/jinja_syntax.h"

namespace tenure::jinja {

// `source` as normalise_source() returns it. Throws Error(template_unsupported).
std::vector<Statement> parse(const std::string& source);

}  // namespace tenure::jinja
