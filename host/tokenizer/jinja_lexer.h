// Template source to tokens, with the whitespace rules of transformers: trim_blocks and lstrip_blocks are on,
// one newline at the end of the source is dropped, \r\n and \r count as \n.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tenure::jinja {

enum class TokenKind : uint8_t {
  text,         // outside of tags; text = what is printed
  print_begin,  // {{
  print_end,    // }}
  block_begin,  // {%
  block_end,    // %}
  name,
  integer,  // text = digits
  number,   // text = a float's spelling
  string,   // text = the value, escapes resolved
  symbol,   // text = an operator or bracket
  end_of_source,
};

struct Position {
  uint32_t line = 1;    // of the source with \n line ends
  uint32_t column = 1;  // bytes
};

struct Token {
  TokenKind kind;
  std::string text;
  Position at;
};

// \r\n and \r to \n, a last newline dropped: the source that positions count in.
std::string normalise_source(std::string_view source);

// Ends with an end_of_source token. Throws Error(template_unsupported) with line and column.
std::vector<Token> lex(const std::string& normalised_source);

// Throws Error(template_unsupported) that shows the place in the (normalised) source.
[[noreturn]] void refuse(std::string_view source, Position at, std::string text);

}  // namespace tenure::jinja
