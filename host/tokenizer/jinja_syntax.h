// The syntax tree of a chat template. Every node was checked by the parser: names of filters, tests, methods
// and functions exist, argument counts fit, nesting is within Limits::depth. So the evaluator may recurse.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tokenizer/jinja_builtins.h"
#include "tokenizer/jinja_lexer.h"
#include "tokenizer/jinja_value.h"

namespace tenure::jinja {

enum class Operator : uint8_t {
  add,
  subtract,
  multiply,
  divide,
  floor_divide,
  modulo,
  equal,
  not_equal,
  less,
  less_equal,
  greater,
  greater_equal,
  in,
  not_in,
};

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct Expression {
  enum class Kind : uint8_t {
    literal,          // literal
    name,             // text
    loop_field,       // text: index, first, …
    list,             // children
    dict,             // children: key, value, key, value, …
    attribute,        // children[0] . text
    subscript,        // children[0] [children[1]]
    slice,            // children[0] [children[1] : children[2] : children[3]], an omitted one is null
    builtin,          // children[0] = self, the others one per parameter, null where none was given
    test,             // the same, `negated`
    negative,         // children[0]
    logical_not,      // children[0]
    logical_and,      // children: two or more
    logical_or,       // children: two or more
    comparison,       // children[0] operators[0] children[1] operators[1] children[2] …, all must hold
    arithmetic,       // the same shape, left to right
    concatenation,    // children: two or more
    conditional,      // children: condition, value, other value or null
    make_namespace,   // names[i] = children[i]
    range,            // children: 1 to 3
    raise_exception,  // children[0]
    clock,            // strftime_now(…): fails when it is reached
  };

  Kind kind;
  Position at;
  uint32_t depth = 1;  // 1 + the deepest child's
  std::string text;
  Value literal;
  std::vector<ExpressionPtr> children;
  std::vector<Operator> operators;
  std::vector<std::string> names;
  const Builtin* builtin = nullptr;
  bool negated = false;
};

struct Statement;

struct Branch {
  ExpressionPtr condition;  // null = else
  std::vector<Statement> body;
};

struct Statement {
  enum class Kind : uint8_t {
    text,              // text
    print,             // value
    conditional,       // branches
    loop,              // for targets in value if condition: body, else: otherwise
    assign,            // targets = value (several targets unpack)
    assign_attribute,  // targets[0] . text = value
    capture,           // targets[0] = what body prints
  };

  Kind kind;
  Position at;
  std::string text;
  std::vector<std::string> targets;
  ExpressionPtr value;
  ExpressionPtr condition;
  std::vector<Branch> branches;
  std::vector<Statement> body;
  std::vector<Statement> otherwise;
};

}  // namespace tenure::jinja
