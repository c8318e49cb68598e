#include "tokenizer/special_tokens.h"

#include <algorithm>

namespace tenure {

SpecialTokenMatcher::SpecialTokenMatcher(std::vector<Token> tokens) : sorted_(std::move(tokens)) {
  std::stable_sort(sorted_.begin(), sorted_.end(),
                   [](const Token& a, const Token& b) { return a.text < b.text; });
  sorted_.erase(std::unique(sorted_.begin(), sorted_.end(),
                            [](const Token& a, const Token& b) { return a.text == b.text; }),
                sorted_.end());
  for (const Token& token : sorted_) first_byte_[static_cast<uint8_t>(token.text.front())] = true;
}

// Narrows the range of tokens that share the prefix read so far, byte by byte: the cost does not grow with a
// vocabulary of hundreds of reserved tokens that all begin alike.
SpecialTokenMatcher::Walk SpecialTokenMatcher::walk(std::string_view text) const {
  Walk result;
  if (text.empty() || !first_byte_[static_cast<uint8_t>(text.front())]) return result;
  auto low = sorted_.begin();
  auto high = sorted_.end();
  for (size_t depth = 0;; ++depth) {
    if (low->text.size() == depth) {
      result.longest = Match{low->id, depth};
      if (++low == high) return result;
    }
    if (depth == text.size()) {
      result.text_ran_out = true;
      return result;
    }
    const auto byte = static_cast<uint8_t>(text[depth]);
    const auto at = [depth](const Token& token) { return static_cast<uint8_t>(token.text[depth]); };
    low = std::lower_bound(low, high, byte,
                           [&](const Token& token, uint8_t value) { return at(token) < value; });
    high = std::upper_bound(low, high, byte,
                            [&](uint8_t value, const Token& token) { return value < at(token); });
    if (low == high) return result;
  }
}

std::optional<SpecialTokenMatcher::Match> SpecialTokenMatcher::match(std::string_view text) const {
  return walk(text).longest;
}

bool SpecialTokenMatcher::could_begin(std::string_view text) const {
  const Walk result = walk(text);
  return result.longest || result.text_ran_out;
}

}  // namespace tenure
