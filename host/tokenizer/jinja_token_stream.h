// Reads tokens one by one and says where something else was expected.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/jinja_lexer.h"

namespace tenure::jinja {

class TokenStream {
 public:
  explicit TokenStream(const std::string& source) : source_(source), tokens_(lex(source)) {}

  const Token& peek(size_t ahead = 0) const { return tokens_[std::min(next_ + ahead, tokens_.size() - 1)]; }
  Position at() const { return peek().at; }
  const Token& take() { return tokens_[next_ + 1 < tokens_.size() ? next_++ : next_]; }

  bool is_symbol(std::string_view symbol, size_t ahead = 0) const {
    return is(TokenKind::symbol, symbol, ahead);
  }
  bool is_word(std::string_view word, size_t ahead = 0) const { return is(TokenKind::name, word, ahead); }
  bool take_symbol(std::string_view symbol) { return is_symbol(symbol) && (take(), true); }
  bool take_word(std::string_view word) { return is_word(word) && (take(), true); }

  void expect_symbol(std::string_view symbol) {
    if (!take_symbol(symbol)) fail(fmt::format("expected \"{}\", found {}", symbol, describe()));
  }
  void expect_word(std::string_view word) {
    if (!take_word(word)) fail(fmt::format("expected \"{}\", found {}", word, describe()));
  }
  void expect(TokenKind kind, std::string_view what) {
    if (peek().kind != kind) fail(fmt::format("expected {}, found {}", what, describe()));
    take();
  }
  std::string expect_name() {
    if (peek().kind != TokenKind::name) fail(fmt::format("expected a name, found {}", describe()));
    return take().text;
  }

  std::string describe() const {
    switch (peek().kind) {
      case TokenKind::text:
        return "text";
      case TokenKind::print_begin:
        return "{{";
      case TokenKind::print_end:
        return "}}";
      case TokenKind::block_begin:
        return "{%";
      case TokenKind::block_end:
        return "%}";
      case TokenKind::string:
        return "a string";
      case TokenKind::end_of_source:
        return "the end of the template";
      default:
        return fmt::format("\"{}\"", peek().text);
    }
  }

  [[noreturn]] void fail(std::string text) const { refuse(source_, at(), std::move(text)); }
  [[noreturn]] void fail(Position at, std::string text) const { refuse(source_, at, std::move(text)); }

 private:
  bool is(TokenKind kind, std::string_view text, size_t ahead) const {
    return peek(ahead).kind == kind && peek(ahead).text == text;
  }

  const std::string& source_;
  std::vector<Token> tokens_;
  size_t next_ = 0;
};

}  // namespace tenure::jinja
