// Text for people: escaped HTML, numbers with units, short names.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tenure {

// &, <, >, " and ' escaped, control characters shown as U+FFFD: safe as text and inside quoted attributes.
std::string escape_html(std::string_view text);

// At most so many characters, cut with an ellipsis on a character boundary.
std::string shorten(std::string_view text, size_t most);

enum class Unit : uint8_t { plain, share, ratio, bytes, milliseconds, per_second };

// The unit of a row path: "kv.peak_bytes" are bytes, "exact_match" is a share, "compare.kv.peak_bytes" a
// ratio.
Unit shown_unit(std::string_view metric);
// A short name for a column or a chart: "Exact match", "Peak KV bytes".
std::string title_of(std::string_view metric);

std::string format_value(double value, Unit unit);
std::string format_bytes(double bytes);
std::string format_count(double count);     // 12,345
std::string format_tokens(int64_t tokens);  // 512, 4K

}  // namespace tenure
