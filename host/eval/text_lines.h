// The plain text that documents are cut from.
#pragma once

#include <string>
#include <vector>

namespace tenure {

// The lines of all files in their order, without blank ones. Throws Error when a file cannot be read, is no
// text or has no line.
std::vector<std::string> read_text_lines(const std::vector<std::string>& files);

}  // namespace tenure
