// The page around a report: style sheet, script, document frame. Nothing is fetched: the page forbids it to
// itself.
#pragma once

#include <string>
#include <string_view>

namespace tenure {

// `body` is HTML; `title` is text.
std::string html_page(std::string_view title, std::string_view body);

}  // namespace tenure
