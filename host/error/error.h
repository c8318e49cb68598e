// Errors that a person reads: a code, what, where, what is allowed. Thrown at load time; inside the engine's loop
// failures are returned values (a row's error), never exceptions.
#pragma once

#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include "error/codes.h"

namespace tenure {

// A place in a text file. Lines and columns count from 1; columns count bytes. 0 = unknown.
struct SourcePosition {
  std::string file;
  uint32_t line = 0;
  uint32_t column = 0;
};

// One finding. Rendered as
//   error[E0107]: unknown key "budgte" in [policy.locret]
//     --> exp.toml:14:1
//   14 | budgte = "1/8"
//      | ^^^^^^ did you mean "budget"?
struct Diagnostic {
  Code code = Code::internal;
  std::string text;         // one line: what was found and what is allowed
  SourcePosition where;     // file empty when there is no file
  std::string source_line;  // the line's text, without its newline; empty when unknown
  uint32_t span = 0;        // bytes to underline from where.column
  std::string help;         // shown under the underline, or after "help:" when there is no source line
};

std::string render(const Diagnostic&);
std::string render(const std::vector<Diagnostic>&);

// What load-time code throws: at least one diagnostic. exit_code() is that of the first one's code.
class Error : public std::exception {
 public:
  explicit Error(Diagnostic diagnostic);
  explicit Error(std::vector<Diagnostic> diagnostics);
  Error(Code code, std::string text);

  const char* what() const noexcept override { return rendered_.c_str(); }
  const std::vector<Diagnostic>& diagnostics() const noexcept { return diagnostics_; }
  Code code() const noexcept { return diagnostics_.front().code; }
  int exit_code() const noexcept;

 private:
  std::vector<Diagnostic> diagnostics_;
  std::string rendered_;
};

// The candidate nearest to `word` by Damerau-Levenshtein distance, if within a third of its length; else empty.
std::string_view nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace tenure
