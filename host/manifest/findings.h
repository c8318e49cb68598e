// Collects what is wrong, so that a person sees all of it at once.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "error/error.h"
#include "manifest/toml_document.h"

namespace tenure {

class Findings {
 public:
  // The same finding twice (a matrix resolves a stage once a cell) is kept once.
  void add(const Place&, Code, std::string text, std::string help = {});
  void add(Diagnostic);
  void add(const Error&);

  bool empty() const { return diagnostics_.empty(); }
  // True once so much is wrong that more would not be read; callers may stop early.
  bool full() const;
  // Throws Error with everything, in the order of the text, when there is anything.
  void throw_if_any() const;

 private:
  std::vector<Diagnostic> diagnostics_;
  std::set<std::string> seen_;
  size_t n_dropped_ = 0;
};

// `did you mean "budget"?`, or empty.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

// "a, b, c"
std::string joined(const std::vector<std::string>& words);

}  // namespace tenure
