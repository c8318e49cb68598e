// How near one text is to another. Pure functions, any thread.
//
// A word is a longest run of ASCII letters, digits and bytes outside ASCII, with ASCII letters in lower case: "Don't" is
// two words, "naïve" is one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tenure {

std::vector<std::string> words_of(std::string_view text);

// The texts are equal without the white space around them.
bool same_text(std::string_view a, std::string_view b);

// Length of the common prefix.
size_t agreeing_tokens(std::span<const int32_t> a, std::span<const int32_t> b);

// Harmonic mean of precision and recall over the texts' words as multisets: 2 × shared ÷ (words of a + words of b). 1 when
// both have no word.
double token_f1(std::string_view a, std::string_view b);

// ROUGE-L with beta = 1: the same, with the longest common subsequence of words for the shared ones, so order counts.
double rouge_l(std::string_view a, std::string_view b);

}  // namespace tenure
