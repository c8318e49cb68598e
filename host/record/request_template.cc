#include "record/request_template.h"

#include <fmt/format.h>

#include "error/error.h"
#include "record/json_value.h"

namespace tenure {

RequestTemplate::RequestTemplate(std::string_view text) {
  std::string literal;
  const auto flush = [&] {
    if (!literal.empty()) pieces_.push_back({std::move(literal), false});
    literal.clear();
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c != '{' && c != '}') {
      literal += c;
    } else if (i + 1 < text.size() && text[i + 1] == c) {
      literal += c;
      ++i;
    } else if (c == '}') {
      throw Error(
          Code::bad_value,
          fmt::format("template: \"}}\" at byte {} closes nothing (write \"}}}}\" for a brace)", i + 1));
    } else {
      const size_t end = text.find_first_of("{}", i + 1);
      if (end == std::string_view::npos || text[end] != '}' || end == i + 1) {
        throw Error(Code::bad_value,
                    fmt::format("template: \"{{\" at byte {} opens no {{field}} (write \"{{{{\" for a brace)",
                                i + 1));
      }
      flush();
      pieces_.push_back({std::string(text.substr(i + 1, end - i - 1)), true});
      i = end;
    }
  }
  flush();
}

std::variant<std::string, RequestTemplate::Failure> RequestTemplate::render(const JsonValue& fields) const {
  std::string out;
  for (const Piece& piece : pieces_) {
    if (!piece.is_field) {
      out += piece.text;
      continue;
    }
    const JsonValue* value = fields.at_path(piece.text);
    if (!value || value->is_null())
      return Failure{fmt::format("the template's {{{}}} is not in this line", piece.text)};
    if (const std::string* text = value->string()) {
      out += *text;
    } else {
      append_json(out, *value);
    }
  }
  return out;
}

}  // namespace tenure
