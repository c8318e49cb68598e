// What is hidden in documents and asked for afterwards, as text: the seeded wording of each kind of needle.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "eval/draws.h"

namespace tenure {

struct Needle {
  std::string text;      // a sentence or two, without newlines around
  std::string question;  // asks for `value`, up to the lead of its answer, or begins the sentence again
  std::string value;     // digits; of a sentence its last words, a blank before each
};

constexpr uint32_t n_keyed_digits = 7;
constexpr uint32_t n_passkey_digits = 5;
constexpr uint32_t n_sequence_digits = 10;

// `n` numbers with a key word each, all different.
std::vector<Needle> keyed_numbers(size_t n, Draws& draws);
Needle passkey(Draws& draws);
Needle digit_sequence(Draws& draws);

// What surrounds a digit sequence, over and over.
extern const std::string_view noise_text;

}  // namespace tenure
