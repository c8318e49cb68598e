#include "plan/prompt_template.h"

#include <fmt/format.h>

namespace tenure {

std::optional<std::vector<TemplatePart>> parse_prompt_template(std::string_view text, std::string& why) {
  std::vector<TemplatePart> parts;
  std::string literal;
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if ((c == '{' || c == '}') && i + 1 < text.size() && text[i + 1] == c) {
      literal += c;
      i += 2;
      continue;
    }
    if (c == '}') {
      why = "a single \"}\"; write \"}}\" for a brace";
      return std::nullopt;
    }
    if (c != '{') {
      literal += c;
      ++i;
      continue;
    }
    const size_t close = text.find_first_of("{}", i + 1);
    if (close == std::string_view::npos || text[close] == '{' || close == i + 1) {
      why = close == i + 1 ? "a field without a name" : "an open \"{\"; write \"{{\" for a brace";
      return std::nullopt;
    }
    if (!literal.empty()) parts.push_back({false, std::move(literal)});
    literal.clear();
    parts.push_back({true, std::string(text.substr(i + 1, close - i - 1))});
    i = close + 1;
  }
  if (!literal.empty()) parts.push_back({false, std::move(literal)});
  return parts;
}

std::string to_text(const std::vector<TemplatePart>& parts) {
  std::string out;
  for (const TemplatePart& part : parts) {
    if (part.is_field) {
      out += fmt::format("{{{}}}", part.text);
      continue;
    }
    for (char c : part.text) out += (c == '{' || c == '}') ? std::string(2, c) : std::string(1, c);
  }
  return out;
}

}  // namespace tenure
