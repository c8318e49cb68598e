// A prompt made of a line's fields: "Summarise:\n{body}\n". {{ and }} are braces; {a.b} is a nested field.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace tenure {

struct JsonValue;

class RequestTemplate {
 public:
  // Throws Error(bad_value) on an unclosed or empty {field}.
  explicit RequestTemplate(std::string_view text);

  struct Failure {
    std::string message;  // the field that the line does not have
  };
  // Strings as they are, numbers and booleans as written, arrays and objects as JSON.
  std::variant<std::string, Failure> render(const JsonValue& fields) const;

 private:
  struct Piece {
    std::string text;  // literal text, or a field's path
    bool is_field = false;
  };
  std::vector<Piece> pieces_;
};

}  // namespace tenure
