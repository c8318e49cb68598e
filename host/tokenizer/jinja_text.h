// Python's string operations on UTF-8: positions count code points.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tenure::jinja {

enum class Side : uint8_t { left, right, both };

// Without `characters`, white space. Otherwise every code point of `characters`.
std::string_view strip(std::string_view text, Side side,
                       std::optional<std::string_view> characters = std::nullopt);

size_t n_code_points(std::string_view text);

// Byte offset of every code point, and the size: (n_code_points + 1).
std::vector<size_t> code_point_offsets(std::string_view text);

// Failure for text beyond ASCII: case rules of other scripts are not carried.
enum class Case : uint8_t { upper, lower, capitalize, title_words, title_letters };
std::string change_case(std::string_view text, Case to);

// At most `limit` cuts (negative = all). Without `separator`, at runs of white space, none of it kept.
std::vector<std::string> split(std::string_view text, std::optional<std::string_view> separator,
                               int64_t limit);

// At most `limit` replacements (negative = all). Failure for an empty `from`, or past Limits::text_bytes.
std::string replace(std::string_view text, std::string_view from, std::string_view to, int64_t limit);

}  // namespace tenure::jinja
