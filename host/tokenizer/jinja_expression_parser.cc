#include "tokenizer/jinja_expression_parser.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <optional>

namespace tenure::jinja {

using Kind = Expression::Kind;

namespace {

constexpr std::pair<std::string_view, Operator> sum_operators[] = {{"+", Operator::add},
                                                                   {"-", Operator::subtract}};
constexpr std::pair<std::string_view, Operator> product_operators[] = {{"*", Operator::multiply},
                                                                       {"/", Operator::divide},
                                                                       {"//", Operator::floor_divide},
                                                                       {"%", Operator::modulo}};
constexpr std::pair<std::string_view, Operator> comparison_operators[] = {
    {"==", Operator::equal},      {"!=", Operator::not_equal}, {"<", Operator::less},
    {"<=", Operator::less_equal}, {">", Operator::greater},    {">=", Operator::greater_equal}};
constexpr std::string_view loop_fields[] = {"index",  "index0", "revindex", "revindex0", "first",   "last",
                                            "length", "depth",  "depth0",   "previtem",  "nextitem"};

}  // namespace

// Counts how deep the descent is, so that "((((…" ends in an error and not on the stack's last page.
class ExpressionParser::Nesting {
 public:
  explicit Nesting(ExpressionParser& parser) : parser_(parser) {
    if (++parser_.nesting_ > Limits::depth) {
      parser_.tokens_.fail(fmt::format("the expression nests deeper than {}", Limits::depth));
    }
  }
  ~Nesting() { --parser_.nesting_; }
  Nesting(const Nesting&) = delete;

 private:
  ExpressionParser& parser_;
};

ExpressionPtr ExpressionParser::make(Kind kind, Position at) const {
  auto made = std::make_unique<Expression>();
  made->kind = kind;
  made->at = at;
  return made;
}

void ExpressionParser::adopt(Expression& parent, ExpressionPtr child) const {
  if (child) parent.depth = std::max(parent.depth, child->depth + 1);
  if (parent.depth > Limits::depth)
    tokens_.fail(parent.at, fmt::format("the expression nests deeper than {}", Limits::depth));
  parent.children.push_back(std::move(child));
}

ExpressionPtr ExpressionParser::parse_tuple() {
  const Position at = tokens_.at();
  ExpressionPtr first = parse();
  if (!tokens_.is_symbol(",")) return first;
  ExpressionPtr tuple = make(Kind::list, at);
  adopt(*tuple, std::move(first));
  while (tokens_.take_symbol(",")) adopt(*tuple, parse());
  return tuple;
}

// `a - b + c` is one node with three children: a long chain is not a deep tree.
ExpressionPtr ExpressionParser::left_to_right(Kind kind, Parse operand,
                                              std::pair<std::string_view, Operator> const* table,
                                              size_t n_operators) {
  const auto next_operator = [&]() -> std::optional<Operator> {
    for (size_t i = 0; i < n_operators; ++i) {
      if (tokens_.take_symbol(table[i].first)) return table[i].second;
    }
    return std::nullopt;
  };
  const Position at = tokens_.at();
  ExpressionPtr first = (this->*operand)();
  std::optional<Operator> op = next_operator();
  if (!op) return first;
  ExpressionPtr chain = make(kind, at);
  adopt(*chain, std::move(first));
  for (; op; op = next_operator()) {
    chain->operators.push_back(*op);
    adopt(*chain, (this->*operand)());
  }
  return chain;
}

ExpressionPtr ExpressionParser::parse_words(Kind kind, std::string_view word, Parse operand) {
  const Position at = tokens_.at();
  ExpressionPtr first = (this->*operand)();
  if (!tokens_.is_word(word)) return first;
  ExpressionPtr chain = make(kind, at);
  adopt(*chain, std::move(first));
  while (tokens_.take_word(word)) adopt(*chain, (this->*operand)());
  return chain;
}

ExpressionPtr ExpressionParser::parse_conditional() {
  const Nesting nesting(*this);
  ExpressionPtr value = parse_or();
  while (tokens_.is_word("if")) {
    ExpressionPtr conditional = make(Kind::conditional, tokens_.take().at);
    adopt(*conditional, parse_or());
    adopt(*conditional, std::move(value));
    adopt(*conditional, tokens_.take_word("else") ? parse_conditional() : nullptr);
    value = std::move(conditional);
  }
  return value;
}

ExpressionPtr ExpressionParser::parse_or() {
  return parse_words(Kind::logical_or, "or", &ExpressionParser::parse_and);
}
ExpressionPtr ExpressionParser::parse_and() {
  return parse_words(Kind::logical_and, "and", &ExpressionParser::parse_not);
}

ExpressionPtr ExpressionParser::parse_not() {
  if (!tokens_.is_word("not")) return parse_comparison();
  const Nesting nesting(*this);
  ExpressionPtr negation = make(Kind::logical_not, tokens_.take().at);
  adopt(*negation, parse_not());
  return negation;
}

std::optional<Operator> ExpressionParser::take_comparison() {
  for (const auto& [symbol, op] : comparison_operators) {
    if (tokens_.take_symbol(symbol)) return op;
  }
  if (tokens_.take_word("in")) return Operator::in;
  if (!tokens_.is_word("not") || !tokens_.is_word("in", 1)) return std::nullopt;
  tokens_.take();
  tokens_.take();
  return Operator::not_in;
}

ExpressionPtr ExpressionParser::parse_comparison() {
  const Position at = tokens_.at();
  ExpressionPtr first = parse_sum();
  std::optional<Operator> op = take_comparison();
  if (!op) return first;
  ExpressionPtr comparison = make(Kind::comparison, at);
  adopt(*comparison, std::move(first));
  for (; op; op = take_comparison()) {
    comparison->operators.push_back(*op);
    adopt(*comparison, parse_sum());
  }
  return comparison;
}

ExpressionPtr ExpressionParser::parse_sum() {
  return left_to_right(Kind::arithmetic, &ExpressionParser::parse_concatenation, sum_operators,
                       std::size(sum_operators));
}

ExpressionPtr ExpressionParser::parse_concatenation() {
  const Position at = tokens_.at();
  ExpressionPtr first = parse_product();
  if (!tokens_.is_symbol("~")) return first;
  ExpressionPtr chain = make(Kind::concatenation, at);
  adopt(*chain, std::move(first));
  while (tokens_.take_symbol("~")) adopt(*chain, parse_product());
  return chain;
}

ExpressionPtr ExpressionParser::parse_product() {
  return left_to_right(Kind::arithmetic, &ExpressionParser::parse_signed, product_operators,
                       std::size(product_operators));
}

ExpressionPtr ExpressionParser::parse_signed() {
  ExpressionPtr value = parse_unary(true);
  if (tokens_.is_symbol("**")) tokens_.fail("the operator ** is not supported");
  return value;
}

// A sign binds closer than a filter, as in Jinja: `-x | abs` is `(-x) | abs`.
ExpressionPtr ExpressionParser::parse_unary(bool with_filters) {
  const Nesting nesting(*this);
  ExpressionPtr value;
  if (tokens_.is_symbol("-")) {
    value = make(Kind::negative, tokens_.take().at);
    adopt(*value, parse_unary(false));
  } else if (tokens_.is_symbol("+")) {
    tokens_.fail("the sign + is not supported");
  } else {
    value = parse_primary();
  }
  value = parse_postfix(std::move(value));
  return with_filters ? parse_filters(std::move(value)) : std::move(value);
}

ExpressionPtr ExpressionParser::parse_primary() {
  const Token& token = tokens_.peek();
  if (token.kind == TokenKind::name) return parse_name();
  if (tokens_.is_symbol("(")) return parse_parentheses();
  if (tokens_.is_symbol("[")) return parse_list();
  if (tokens_.is_symbol("{")) return parse_dict();
  return parse_literal();
}

ExpressionPtr ExpressionParser::parse_literal() {
  ExpressionPtr literal = make(Kind::literal, tokens_.at());
  const Token& token = tokens_.peek();
  if (token.kind == TokenKind::string) {
    std::string text;
    while (tokens_.peek().kind == TokenKind::string) text += tokens_.take().text;
    literal->literal = {std::move(text)};
  } else if (token.kind == TokenKind::integer) {
    int64_t value = 0;
    const char* end = token.text.data() + token.text.size();
    if (std::from_chars(token.text.data(), end, value).ec != std::errc())
      tokens_.fail("the number does not fit 64 bits");
    literal->literal = {value};
    tokens_.take();
  } else if (token.kind == TokenKind::number) {
    double value = 0;
    std::from_chars(token.text.data(), token.text.data() + token.text.size(), value);
    literal->literal = {value};
    tokens_.take();
  } else {
    tokens_.fail(fmt::format("expected a value, found {}", tokens_.describe()));
  }
  return literal;
}

ExpressionPtr ExpressionParser::parse_parentheses() {
  const Position at = tokens_.take().at;
  ExpressionPtr tuple = make(Kind::list, at);
  if (tokens_.take_symbol(")")) return tuple;
  ExpressionPtr first = parse();
  if (tokens_.take_symbol(")")) return first;
  adopt(*tuple, std::move(first));
  while (tokens_.take_symbol(",") && !tokens_.is_symbol(")")) adopt(*tuple, parse());
  tokens_.expect_symbol(")");
  return tuple;
}

ExpressionPtr ExpressionParser::parse_list() {
  ExpressionPtr list = make(Kind::list, tokens_.take().at);
  while (!tokens_.is_symbol("]")) {
    adopt(*list, parse());
    if (!tokens_.take_symbol(",")) break;
  }
  tokens_.expect_symbol("]");
  return list;
}

ExpressionPtr ExpressionParser::parse_dict() {
  ExpressionPtr dict = make(Kind::dict, tokens_.take().at);
  while (!tokens_.is_symbol("}")) {
    adopt(*dict, parse());
    tokens_.expect_symbol(":");
    adopt(*dict, parse());
    if (!tokens_.take_symbol(",")) break;
  }
  tokens_.expect_symbol("}");
  return dict;
}

ExpressionPtr ExpressionParser::parse_name() {
  const Token& token = tokens_.take();
  const std::string& name = token.text;
  if (tokens_.is_symbol("(")) return parse_function(token);
  const bool is_true = name == "true" || name == "True";
  if (is_true || name == "false" || name == "False") {
    ExpressionPtr literal = make(Kind::literal, token.at);
    literal->literal = {is_true};
    return literal;
  }
  if (name == "none" || name == "None") {
    ExpressionPtr literal = make(Kind::literal, token.at);
    literal->literal = {None{}};
    return literal;
  }
  for (std::string_view reserved :
       {"and", "or", "not", "if", "else", "elif", "in", "is", "for", "endif", "endfor"}) {
    if (name == reserved) tokens_.fail(token.at, fmt::format("expected a value, found \"{}\"", name));
  }
  ExpressionPtr node = make(Kind::name, token.at);
  node->text = name;
  if (name != "loop" || n_loops_ == 0) return node;
  tokens_.expect_symbol(".");
  node->kind = Kind::loop_field;
  node->text = tokens_.expect_name();
  if (std::find(std::begin(loop_fields), std::end(loop_fields), node->text) == std::end(loop_fields)) {
    tokens_.fail(token.at, fmt::format("loop.{} is not supported", node->text));
  }
  return node;
}

ExpressionPtr ExpressionParser::parse_function(const Token& name) {
  ExpressionPtr call = make(Kind::range, name.at);
  if (name.text == "namespace") {
    call->kind = Kind::make_namespace;
  } else if (name.text == "raise_exception") {
    call->kind = Kind::raise_exception;
  } else if (name.text == "strftime_now") {
    if (!clock_is_guarded_)
      tokens_.fail(name.at, "strftime_now() is not supported: a prompt must not depend on the clock");
    call->kind = Kind::clock;
  } else if (name.text != "range") {
    tokens_.fail(
        name.at,
        fmt::format("the function {}() is not supported (supported: namespace, range, raise_exception)",
                    name.text));
  }
  tokens_.expect_symbol("(");
  while (!tokens_.is_symbol(")")) {
    if (call->kind == Kind::make_namespace) {
      call->names.push_back(tokens_.expect_name());
      tokens_.expect_symbol("=");
    }
    adopt(*call, parse());
    if (!tokens_.take_symbol(",")) break;
  }
  tokens_.expect_symbol(")");
  const size_t n = call->children.size();
  const bool fits =
      call->kind == Kind::range ? n >= 1 && n <= 3 : call->kind != Kind::raise_exception || n == 1;
  if (!fits) tokens_.fail(name.at, fmt::format("{}() does not take {} arguments", name.text, n));
  return call;
}

}  // namespace tenure::jinja
