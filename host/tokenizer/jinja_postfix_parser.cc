// What follows a value: attributes, subscripts, method calls, filters, tests.
#include <optional>

#include "tokenizer/jinja_expression_parser.h"

namespace tenure::jinja {

using Kind = Expression::Kind;

ExpressionPtr ExpressionParser::parse_postfix(ExpressionPtr subject) {
  for (;;) {
    if (tokens_.is_symbol(".")) {
      subject = parse_attribute(std::move(subject));
    } else if (tokens_.is_symbol("[")) {
      subject = parse_subscript(std::move(subject));
    } else if (tokens_.is_symbol("(")) {
      tokens_.fail("only named functions and methods can be called");
    } else {
      return subject;
    }
  }
}

ExpressionPtr ExpressionParser::parse_attribute(ExpressionPtr subject) {
  const Position at = tokens_.take().at;
  if (tokens_.peek().kind == TokenKind::integer) {
    ExpressionPtr subscript = make(Kind::subscript, at);
    adopt(*subscript, std::move(subject));
    adopt(*subscript, parse_literal());
    return subscript;
  }
  const Position name_at = tokens_.at();
  const std::string name = tokens_.expect_name();
  ExpressionPtr node = make(tokens_.is_symbol("(") ? Kind::builtin : Kind::attribute, at);
  node->text = name;
  adopt(*node, std::move(subject));
  if (node->kind == Kind::attribute) return node;
  node->builtin = find_method(name);
  if (!node->builtin) {
    tokens_.fail(name_at,
                 fmt::format("the method {}() is not supported (supported: {})", name, method_names()));
  }
  parse_arguments(*node);
  return node;
}

ExpressionPtr ExpressionParser::parse_subscript(ExpressionPtr subject) {
  ExpressionPtr node = make(Kind::subscript, tokens_.take().at);
  adopt(*node, std::move(subject));
  const auto part = [&]() { return tokens_.is_symbol(":") || tokens_.is_symbol("]") ? nullptr : parse(); };
  if (tokens_.is_symbol("]")) tokens_.fail("expected a subscript");
  adopt(*node, part());
  while (tokens_.take_symbol(":")) {
    if (node->children.size() == 4) tokens_.fail("a slice has at most three parts");
    node->kind = Kind::slice;
    adopt(*node, part());
  }
  tokens_.expect_symbol("]");
  if (node->kind == Kind::slice) node->children.resize(4);
  return node;
}

ExpressionPtr ExpressionParser::parse_filters(ExpressionPtr subject) {
  for (;;) {
    if (tokens_.is_symbol("|")) {
      subject = parse_filter(std::move(subject));
    } else if (tokens_.is_word("is")) {
      subject = parse_test(std::move(subject));
    } else if (tokens_.is_symbol("(")) {
      tokens_.fail("only named functions and methods can be called");
    } else {
      return subject;
    }
  }
}

ExpressionPtr ExpressionParser::parse_filter(ExpressionPtr subject) {
  const Position at = tokens_.take().at;
  const Position name_at = tokens_.at();
  ExpressionPtr node = make(Kind::builtin, at);
  node->text = tokens_.expect_name();
  node->builtin = find_filter(node->text);
  if (!node->builtin) {
    tokens_.fail(name_at,
                 fmt::format("the filter {} is not supported (supported: {})", node->text, filter_names()));
  }
  adopt(*node, std::move(subject));
  parse_arguments(*node);
  return node;
}

ExpressionPtr ExpressionParser::parse_test(ExpressionPtr subject) {
  ExpressionPtr node = make(Kind::test, tokens_.take().at);
  node->negated = tokens_.take_word("not");
  const Position name_at = tokens_.at();
  node->text = tokens_.expect_name();
  if (node->text == "True" || node->text == "False" || node->text == "None") node->text[0] += 'a' - 'A';
  node->builtin = find_test(node->text);
  if (!node->builtin) {
    tokens_.fail(name_at,
                 fmt::format("the test {} is not supported (supported: {})", node->text, test_names()));
  }
  if (subject->kind == Kind::name && subject->text == "strftime_now" && node->text == "defined")
    clock_is_guarded_ = true;
  adopt(*node, std::move(subject));
  if (node->builtin->n_parameters() == 0) return node;
  if (tokens_.is_symbol("(")) {
    parse_arguments(*node);
  } else {  // `x is eq 'a'`
    adopt(*node, parse_postfix(parse_primary()));
  }
  return node;
}

void ExpressionParser::parse_arguments(Expression& call) {
  const Builtin& builtin = *call.builtin;
  const size_t n_parameters = builtin.n_parameters();
  std::vector<ExpressionPtr> arguments(n_parameters);
  if (tokens_.take_symbol("(")) {
    for (size_t i = 0; !tokens_.is_symbol(")"); ++i) {
      size_t slot = i;
      const Position at = tokens_.at();
      if (tokens_.peek().kind == TokenKind::name && tokens_.is_symbol("=", 1)) {
        const std::string name = tokens_.take().text;
        tokens_.take();
        for (slot = 0; slot < n_parameters && builtin.parameters[slot] != name;) ++slot;
        if (slot == n_parameters)
          tokens_.fail(at, fmt::format("{} has no argument \"{}\" here", call.text, name));
      }
      if (slot >= n_parameters)
        tokens_.fail(at, fmt::format("{} takes at most {} arguments here", call.text, n_parameters));
      if (arguments[slot]) tokens_.fail(at, "the argument is given twice");
      arguments[slot] = parse();
      if (!tokens_.take_symbol(",")) break;
    }
    tokens_.expect_symbol(")");
  }
  for (size_t slot = 0; slot < n_parameters; ++slot) {
    if (slot < builtin.n_required && !arguments[slot]) {
      tokens_.fail(call.at, fmt::format("{} needs the argument \"{}\"", call.text, builtin.parameters[slot]));
    }
    adopt(call, std::move(arguments[slot]));
  }
}

}  // namespace tenure::jinja
