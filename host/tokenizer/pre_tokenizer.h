// Cuts text into the words that byte-level BPE may not merge across. PCRE2, because every modern pattern
// needs a look-ahead and std::regex overflows the stack on 30,000 equal characters.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tenure {

class PreTokenizer {
 public:
  // `name` is GGUF's tokenizer.ggml.pre. Throws Error(model_unsupported) with the known names.
  explicit PreTokenizer(std::string_view name);
  PreTokenizer(PreTokenizer&&) noexcept;
  PreTokenizer& operator=(PreTokenizer&&) noexcept;
  ~PreTokenizer();

  // Views into `text`, in order; together they are all of it. `text` is valid UTF-8. Thread-safe. Throws
  // Error(row_bad_request) where PCRE2 meets one of its limits.
  std::vector<std::string_view> split(std::string_view text) const;

 private:
  class Pattern;
  std::vector<Pattern> stages_;  // each one splits the pieces of the one before
};

}  // namespace tenure
