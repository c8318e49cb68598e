// "Summarise:\n{body}\n" cut at its fields.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plan/plan.h"

namespace tenure {

// Nothing when a brace is left open or stands alone ("{{" and "}}" are braces), or a field has no name; then
// `why` says so.
std::optional<std::vector<TemplatePart>> parse_prompt_template(std::string_view text, std::string& why);

// The template as it was written.
std::string to_text(const std::vector<TemplatePart>&);

}  // namespace tenure
