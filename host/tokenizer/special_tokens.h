// Finds tokens that are written out in text, leftmost first and the longest of those that begin there.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tenure {

class SpecialTokenMatcher {
 public:
  struct Token {
    std::string text;  // not empty
    int32_t id;
  };
  struct Match {
    int32_t id = 0;
    size_t n_bytes = 0;
  };

  explicit SpecialTokenMatcher(std::vector<Token> tokens);

  // The longest token that `text` begins with.
  std::optional<Match> match(std::string_view text) const;

  // `text` begins with a token, or ends before a token that it begins could be complete.
  bool could_begin(std::string_view text) const;

 private:
  struct Walk {
    std::optional<Match> longest;
    bool text_ran_out = false;
  };
  Walk walk(std::string_view text) const;

  std::vector<Token> sorted_;           // by text
  std::array<bool, 256> first_byte_{};  // most bytes begin no token
};

}  // namespace tenure
