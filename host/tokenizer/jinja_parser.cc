#include "tokenizer/jinja_parser.h"

#include <algorithm>
#include <initializer_list>

#include "tokenizer/jinja_expression_parser.h"

namespace tenure::jinja {
namespace {

class Parser {
 public:
  explicit Parser(const std::string& source) : tokens_(source), expressions_(tokens_) {}

  std::vector<Statement> run() {
    std::vector<Statement> statements = parse_body({});
    if (tokens_.peek().kind != TokenKind::end_of_source) {
      tokens_.fail(fmt::format("the tag {} closes nothing", tokens_.peek(1).text));
    }
    return statements;
  }

 private:
  // Statements up to a tag named in `ends` (left unread) or the end of the source.
  std::vector<Statement> parse_body(std::initializer_list<std::string_view> ends) {
    if (++nesting_ > Limits::depth) tokens_.fail(fmt::format("blocks nest deeper than {}", Limits::depth));
    std::vector<Statement> body;
    for (;;) {
      const Token& token = tokens_.peek();
      if (token.kind == TokenKind::end_of_source) break;
      if (token.kind == TokenKind::text) {
        Statement text = make(Statement::Kind::text);
        text.text = tokens_.take().text;
        body.push_back(std::move(text));
      } else if (token.kind == TokenKind::print_begin) {
        body.push_back(parse_print());
      } else if (std::any_of(ends.begin(), ends.end(),
                             [&](std::string_view end) { return tokens_.is_word(end, 1); })) {
        break;
      } else {
        body.push_back(parse_block());
      }
    }
    --nesting_;
    return body;
  }

  Statement make(Statement::Kind kind) const {
    Statement statement;
    statement.kind = kind;
    statement.at = tokens_.at();
    return statement;
  }

  Statement parse_print() {
    Statement print = make(Statement::Kind::print);
    tokens_.take();
    print.value = expressions_.parse_tuple();
    if (tokens_.peek().kind != TokenKind::print_end)
      tokens_.fail(fmt::format("expected }}}}, found {}", tokens_.describe()));
    tokens_.take();
    return print;
  }

  Statement parse_block() {
    if (tokens_.is_word("if", 1)) return parse_if();
    if (tokens_.is_word("for", 1)) return parse_for();
    if (tokens_.is_word("set", 1)) return parse_set();
    tokens_.take();
    tokens_.fail(
        fmt::format("the tag {} is not supported here (supported: if, for, set)", tokens_.describe()));
  }

  void close_tag() { tokens_.expect(TokenKind::block_end, "%}"); }

  void end_block(std::string_view name, Position opened) {
    if (tokens_.peek().kind == TokenKind::end_of_source)
      tokens_.fail(opened, fmt::format("{} is missing", name));
    tokens_.take();
    tokens_.expect_word(name);
    close_tag();
  }

  Statement parse_if() {
    Statement statement = make(Statement::Kind::conditional);
    do {  // at "{% if" or "{% elif"
      tokens_.take();
      tokens_.take();
      Branch branch;
      branch.condition = expressions_.parse_without_conditional();
      close_tag();
      branch.body = parse_body({"elif", "else", "endif"});
      statement.branches.push_back(std::move(branch));
    } while (tokens_.is_word("elif", 1));
    if (take_else()) statement.branches.push_back({nullptr, parse_body({"endif"})});
    end_block("endif", statement.at);
    return statement;
  }

  bool take_else() {
    if (!tokens_.is_word("else", 1)) return false;
    tokens_.take();
    tokens_.take();
    close_tag();
    return true;
  }

  std::vector<std::string> parse_targets() {
    const bool parenthesised = tokens_.take_symbol("(");
    std::vector<std::string> targets;
    do {
      targets.push_back(tokens_.expect_name());
      if (targets.back() == "loop") tokens_.fail("loop cannot be assigned");
    } while (tokens_.take_symbol(","));
    if (parenthesised) tokens_.expect_symbol(")");
    return targets;
  }

  Statement parse_for() {
    Statement statement = make(Statement::Kind::loop);
    tokens_.take();
    tokens_.take();
    statement.targets = parse_targets();
    tokens_.expect_word("in");
    statement.value = expressions_.parse_without_conditional();
    if (tokens_.take_word("if")) statement.condition = expressions_.parse();
    if (tokens_.is_word("recursive")) tokens_.fail("recursive loops are not supported");
    close_tag();
    expressions_.enter_loop();
    statement.body = parse_body({"else", "endfor"});
    expressions_.leave_loop();
    if (take_else()) statement.otherwise = parse_body({"endfor"});
    end_block("endfor", statement.at);
    return statement;
  }

  Statement parse_set() {
    Statement statement = make(Statement::Kind::assign);
    tokens_.take();
    tokens_.take();
    statement.targets = parse_targets();
    if (tokens_.take_symbol(".")) {
      if (statement.targets.size() > 1) tokens_.fail("a namespace attribute is assigned alone");
      statement.kind = Statement::Kind::assign_attribute;
      statement.text = tokens_.expect_name();
    }
    if (tokens_.take_symbol("=")) {
      statement.value = expressions_.parse_tuple();
      close_tag();
      return statement;
    }
    if (statement.kind != Statement::Kind::assign || statement.targets.size() > 1) tokens_.expect_symbol("=");
    statement.kind = Statement::Kind::capture;
    close_tag();
    statement.body = parse_body({"endset"});
    end_block("endset", statement.at);
    return statement;
  }

  TokenStream tokens_;
  ExpressionParser expressions_;
  uint32_t nesting_ = 0;
};

}  // namespace

std::vector<Statement> parse(const std::string& source) {
  return Parser(source).run();
}

}  // namespace tenure::jinja
