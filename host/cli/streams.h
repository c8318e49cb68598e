// Data on stdout, talk on stderr; a plugin's own prints land on stderr.
#pragma once

#include <string_view>

namespace tenure::cli {

// Call before any plugin is loaded: descriptor 1 becomes stderr for everybody else, and print() keeps the real stdout.
void keep_stdout();
// To stdout, at once. A reader that went away (EPIPE) ends the program quietly with 0.
void print(std::string_view text);
// To stderr with a newline; failures are ignored.
void print_error(std::string_view text);
// To stderr as it is.
void talk(std::string_view text);

bool stdout_is_terminal();
bool stderr_is_terminal();

}  // namespace tenure::cli
