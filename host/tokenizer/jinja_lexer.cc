#include "tokenizer/jinja_lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "error/error.h"
#include "tokenizer/jinja_text.h"
#include "tokenizer/utf8.h"

namespace tenure::jinja {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_name_part(char c) {
  return is_name_start(c) || is_digit(c);
}

constexpr size_t npos = std::string_view::npos;

class Lexer {
 public:
  explicit Lexer(const std::string& source) : source_(source) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) read_text_and_tag();
    push(TokenKind::end_of_source, "", at_);
    return std::move(tokens_);
  }

 private:
  std::string_view rest() const { return std::string_view(source_).substr(at_); }
  char peek(size_t ahead = 0) const { return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0'; }

  // Tokens come in the order of the source, so lines are counted once.
  Position position(size_t offset) {
    for (; counted_ < offset; ++counted_) {
      if (source_[counted_] == '\n') {
        ++counter_.line;
        counter_.column = 1;
      } else {
        ++counter_.column;
      }
    }
    return counter_;
  }

  [[noreturn]] void fail(size_t offset, std::string text) {
    refuse(source_, position(offset), std::move(text));
  }

  void push(TokenKind kind, std::string text, size_t offset) {
    tokens_.push_back({kind, std::move(text), position(offset)});
  }

  size_t find_tag() const {
    for (size_t i = source_.find('{', at_); i != npos; i = source_.find('{', i + 1)) {
      const char next = i + 1 < source_.size() ? source_[i + 1] : '\0';
      if (next == '{' || next == '%' || next == '#') return i;
    }
    return npos;
  }

  void read_text_and_tag() {
    const size_t text_begin = at_;
    const size_t tag = find_tag();
    if (tag == npos) {
      push(TokenKind::text, std::string(rest()), at_);
      at_ = source_.size();
      return;
    }
    std::string_view text = rest().substr(0, tag - at_);
    const char kind = source_[tag + 1];
    at_ = tag + 2;
    const char sign = peek() == '-' || peek() == '+' ? source_[at_++] : '\0';
    if (sign == '-') {
      text = strip(text, Side::right);
    } else if (sign != '+' && kind != '{') {
      text = without_indent(text, text_begin);
    }
    if (!text.empty()) push(TokenKind::text, std::string(text), text_begin);
    if (kind == '#') return skip_comment(tag);
    push(kind == '{' ? TokenKind::print_begin : TokenKind::block_begin, "", tag);
    read_tag(tag, kind == '{');
  }

  // lstrip_blocks: white space between the line's start and a block tag is not printed.
  std::string_view without_indent(std::string_view text, size_t text_begin) const {
    const size_t newline = text.rfind('\n');
    const bool at_line_start = newline != npos || text_begin == 0 || source_[text_begin - 1] == '\n';
    const size_t line = newline == npos ? 0 : newline + 1;
    if (at_line_start && strip(text.substr(line), Side::left).empty()) return text.substr(0, line);
    return text;
  }

  void skip_space() {
    while (at_ < source_.size()) {
      const Utf8Sequence c = read_utf8(rest());
      if (!is_python_space(c.value)) return;
      at_ += c.n_bytes;
    }
  }

  // After an end of tag: "-" eats white space, "+" nothing; a block or comment eats one newline
  // (trim_blocks).
  void trim_after(char sign, bool is_print) {
    if (sign == '-') {
      skip_space();
    } else if (sign != '+' && !is_print && peek() == '\n') {
      ++at_;
    }
  }

  void skip_comment(size_t begin) {
    const size_t end = source_.find("#}", at_);
    if (end == npos) fail(begin, "a comment is not closed");
    const char sign = end > at_ ? source_[end - 1] : '\0';
    at_ = end + 2;
    trim_after(sign, false);
  }

  void read_tag(size_t begin, bool is_print) {
    const std::string_view end = is_print ? "}}" : "%}";
    std::string open_brackets;
    for (skip_space(); at_ < source_.size(); skip_space()) {
      const char sign = peek() == '-' || (peek() == '+' && !is_print) ? peek() : '\0';
      const size_t skip = sign ? 1 : 0;
      if (open_brackets.empty() && rest().substr(skip, 2) == end) {
        push(is_print ? TokenKind::print_end : TokenKind::block_end, "", at_);
        at_ += skip + 2;
        trim_after(sign, is_print);
        return;
      }
      read_expression_token(open_brackets);
    }
    fail(begin, fmt::format("the tag is not closed with {}", end));
  }

  void read_expression_token(std::string& open_brackets) {
    const char c = peek();
    if (c == '\'' || c == '"') return read_string(c);
    if (is_digit(c)) return read_number();
    if (is_name_start(c)) {
      const size_t begin = at_;
      while (is_name_part(peek())) ++at_;
      return push(TokenKind::name, source_.substr(begin, at_ - begin), begin);
    }
    constexpr std::array<std::string_view, 6> pairs = {"==", "!=", "<=", ">=", "//", "**"};
    const size_t n = std::find(pairs.begin(), pairs.end(), rest().substr(0, 2)) != pairs.end() ? 2 : 1;
    if (n == 1 && std::string_view("+-*/%~|()[]{}<>=.,:").find(c) == npos) {
      fail(at_, fmt::format("\"{}\" has no meaning here", rest().substr(0, read_utf8(rest()).n_bytes)));
    }
    balance(c, open_brackets);
    push(TokenKind::symbol, std::string(rest().substr(0, n)), at_);
    at_ += n;
  }

  // Inside brackets }} and %} close nothing.
  void balance(char c, std::string& open_brackets) {
    if (c == '(') open_brackets += ')';
    if (c == '[') open_brackets += ']';
    if (c == '{') open_brackets += '}';
    if (c != ')' && c != ']' && c != '}') return;
    if (open_brackets.empty() || open_brackets.back() != c)
      fail(at_, fmt::format("\"{}\" closes nothing", c));
    open_brackets.pop_back();
  }

  void read_digits() {
    while (is_digit(peek()) || (peek() == '_' && is_digit(peek(1)))) ++at_;
  }

  void read_number() {
    const size_t begin = at_;
    TokenKind kind = TokenKind::integer;
    read_digits();
    if (peek() == '.' && is_digit(peek(1))) {
      kind = TokenKind::number;
      ++at_;
      read_digits();
    }
    const size_t sign = peek(1) == '+' || peek(1) == '-' ? 1 : 0;
    if ((peek() == 'e' || peek() == 'E') && is_digit(peek(1 + sign))) {
      kind = TokenKind::number;
      at_ += 1 + sign;
      read_digits();
    }
    std::string digits = source_.substr(begin, at_ - begin);
    std::erase(digits, '_');
    const bool octal_like = kind == TokenKind::integer && digits.size() > 1 && digits[0] == '0';
    if (is_name_part(peek()) || octal_like) fail(begin, "numbers are decimal here");
    push(kind, std::move(digits), begin);
  }

  void read_string(char quote) {
    const size_t begin = at_++;
    std::string value;
    for (;;) {
      if (at_ >= source_.size()) fail(begin, "the string is not closed");
      const char c = source_[at_++];
      if (c == quote) break;
      if (c != '\\') {
        value += c;
      } else {
        read_escape(value);
      }
    }
    push(TokenKind::string, std::move(value), begin);
  }

  void read_escape(std::string& value) {
    constexpr std::string_view plain = "ntr\\'\"abfv";
    constexpr std::string_view meant = "\n\t\r\\'\"\a\b\f\v";
    const char c = peek();
    if (const size_t i = plain.find(c); c != '\0' && i != npos) {
      value += meant[i];
    } else if (c == 'x' || c == 'u' || c == 'U') {
      return read_code_point(value, c == 'x' ? 2 : c == 'u' ? 4 : 8);
    } else if (is_digit(c) || c == 'N') {
      fail(at_ - 1, fmt::format("the escape \\{} is not supported", c));
    } else if (c != '\n') {
      value += '\\';
      return;
    }
    ++at_;
  }

  void read_code_point(std::string& value, size_t n_digits) {
    const size_t begin = at_++ - 1;
    char32_t code_point = 0;
    for (size_t i = 0; i < n_digits; ++i, ++at_) {
      const size_t digit =
          std::string_view("0123456789abcdef").find(peek() >= 'A' && peek() <= 'F' ? peek() + 32 : peek());
      if (digit == npos || peek() == '\0')
        fail(begin, fmt::format("the escape needs {} hexadecimal digits", n_digits));
      code_point = code_point * 16 + static_cast<char32_t>(digit);
    }
    const bool surrogate = code_point >= 0xD800 && code_point < 0xE000;
    if (surrogate || code_point > 0x10FFFF) fail(begin, "the escape is not a Unicode character");
    append_utf8(value, code_point);
  }

  const std::string& source_;
  size_t at_ = 0;
  Position counter_;
  size_t counted_ = 0;
  std::vector<Token> tokens_;
};

}  // namespace

std::string normalise_source(std::string_view source) {
  std::string normalised;
  normalised.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n') continue;
    normalised += source[i] == '\r' ? '\n' : source[i];
  }
  if (!normalised.empty() && normalised.back() == '\n') normalised.pop_back();
  return normalised;
}

std::vector<Token> lex(const std::string& normalised_source) {
  return Lexer(normalised_source).run();
}

void refuse(std::string_view source, Position at, std::string text) {
  for (uint32_t line = 1; line < at.line; ++line) source.remove_prefix(source.find('\n') + 1);
  throw Error({.code = Code::template_unsupported,
               .text = std::move(text),
               .where = {.file = "chat template", .line = at.line, .column = at.column},
               .source_line = std::string(source.substr(0, source.find('\n'))),
               .span = 1});
}

}  // namespace tenure::jinja
