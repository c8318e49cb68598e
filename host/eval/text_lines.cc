#include "eval/text_lines.h"

#include <fmt/format.h>

#include <string_view>

#include "error/error.h"
#include "record/file_io.h"

namespace tenure {

std::vector<std::string> read_text_lines(const std::vector<std::string>& files) {
  std::vector<std::string> lines;
  for (const std::string& file : files) {
    const std::string text = read_file(file);
    if (text.find('\0') != std::string::npos) {
      throw Error(Code::input_unreadable, fmt::format("\"{}\" is no text: it holds a byte of zero", file));
    }
    const size_t n_before = lines.size();
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find('\n', at), text.size());
      std::string_view line = std::string_view(text).substr(at, end - at);
      if (line.ends_with('\r')) line.remove_suffix(1);
      if (line.find_first_not_of(" \t\f\v") != std::string_view::npos) lines.emplace_back(line);
      at = end + 1;
    }
    if (lines.size() == n_before)
      throw Error(Code::input_unreadable, fmt::format("\"{}\" has no line of text", file));
  }
  return lines;
}

}  // namespace tenure
