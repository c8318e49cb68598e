// Expressions, by recursive descent in Jinja's order of precedence.
#pragma once

#include <optional>
#include <utility>

#include "tokenizer/jinja_syntax.h"
#include "tokenizer/jinja_token_stream.h"

namespace tenure::jinja {

class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream& tokens) : tokens_(tokens) {}

  ExpressionPtr parse() { return parse_conditional(); }
  // `a, b` is a list of two, as what a set statement assigns.
  ExpressionPtr parse_tuple();
  // Without `x if y else z`: what a for statement iterates (its own "if" may follow), and an if statement's
  // condition.
  ExpressionPtr parse_without_conditional() { return parse_or(); }

  // loop.* means something only inside a for.
  void enter_loop() { ++n_loops_; }
  void leave_loop() { --n_loops_; }

 private:
  using Parse = ExpressionPtr (ExpressionParser::*)();
  class Nesting;

  ExpressionPtr make(Expression::Kind kind, Position at) const;
  void adopt(Expression& parent, ExpressionPtr child) const;
  ExpressionPtr left_to_right(Expression::Kind kind, Parse operand,
                              std::pair<std::string_view, Operator> const* table, size_t n_operators);
  ExpressionPtr parse_words(Expression::Kind kind, std::string_view word, Parse operand);
  std::optional<Operator> take_comparison();

  ExpressionPtr parse_conditional();
  ExpressionPtr parse_or();
  ExpressionPtr parse_and();
  ExpressionPtr parse_not();
  ExpressionPtr parse_comparison();
  ExpressionPtr parse_sum();
  ExpressionPtr parse_concatenation();
  ExpressionPtr parse_product();
  ExpressionPtr parse_signed();
  ExpressionPtr parse_unary(bool with_filters);
  ExpressionPtr parse_primary();
  ExpressionPtr parse_literal();
  ExpressionPtr parse_parentheses();
  ExpressionPtr parse_list();
  ExpressionPtr parse_dict();
  ExpressionPtr parse_name();
  ExpressionPtr parse_function(const Token& name);
  ExpressionPtr parse_postfix(ExpressionPtr subject);
  ExpressionPtr parse_attribute(ExpressionPtr subject);
  ExpressionPtr parse_subscript(ExpressionPtr subject);
  ExpressionPtr parse_filters(ExpressionPtr subject);
  ExpressionPtr parse_filter(ExpressionPtr subject);
  ExpressionPtr parse_test(ExpressionPtr subject);
  // "(a, b, name=c)" into one child per parameter of the builtin.
  void parse_arguments(Expression& call);

  TokenStream& tokens_;
  uint32_t nesting_ = 0;
  uint32_t n_loops_ = 0;
  bool clock_is_guarded_ = false;
};

}  // namespace tenure::jinja
