#include "eval/text_metrics.h"

#include <algorithm>
#include <map>

#include "record/row.h"

namespace tenure {
namespace {

// By hand, because <cctype> asks the locale.
bool is_word_byte(unsigned char c) {
  return c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

double harmonic_mean(size_t n_shared, size_t n_a, size_t n_b) {
  if (n_a + n_b == 0) return 1;
  return 2 * static_cast<double>(n_shared) / static_cast<double>(n_a + n_b);
}

// One row of the usual table at a time; the inner loop runs over the shorter text.
size_t longest_common_subsequence(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  const auto& inner = a.size() < b.size() ? a : b;
  const auto& outer = a.size() < b.size() ? b : a;
  std::vector<size_t> longest(inner.size() + 1, 0);  // of the outer words so far and the first i inner ones
  for (const std::string& word : outer) {
    size_t diagonal = 0;
    for (size_t i = 0; i < inner.size(); ++i) {
      const size_t above = longest[i + 1];
      longest[i + 1] = word == inner[i] ? diagonal + 1 : std::max(above, longest[i]);
      diagonal = above;
    }
  }
  return longest.back();
}

}  // namespace

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  bool inside = false;
  for (const char c : text) {
    const bool was_inside = inside;
    inside = is_word_byte(static_cast<unsigned char>(c));
    if (!inside) continue;
    if (!was_inside) words.emplace_back();
    words.back() += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return words;
}

bool same_text(std::string_view a, std::string_view b) { return stripped(a) == stripped(b); }

size_t agreeing_tokens(std::span<const int32_t> a, std::span<const int32_t> b) {
  return static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

double token_f1(std::string_view a, std::string_view b) {
  std::map<std::string, size_t> left;
  const std::vector<std::string> words_a = words_of(a), words_b = words_of(b);
  for (const std::string& word : words_a) ++left[word];
  size_t n_shared = 0;
  for (const std::string& word : words_b) {
    const auto at = left.find(word);
    if (at == left.end() || at->second == 0) continue;
    --at->second;
    ++n_shared;
  }
  return harmonic_mean(n_shared, words_a.size(), words_b.size());
}

double rouge_l(std::string_view a, std::string_view b) {
  const std::vector<std::string> words_a = words_of(a), words_b = words_of(b);
  return harmonic_mean(longest_common_subsequence(words_a, words_b), words_a.size(), words_b.size());
}

}  // namespace tenure
