#include "eval/needles.h"

#include <fmt/format.h>

#include <array>

namespace tenure {
namespace {

// Things and animals that a text about computers, politics or history seldom names.
constexpr std::array<std::string_view, 60> key_words = {
    "acorn",   "almond",  "badger",   "bamboo",  "barley", "beaver",  "biscuit", "blanket", "button",
    "camel",   "carrot",  "cedar",    "chimney", "clover", "cobweb",  "cricket", "daisy",   "dolphin",
    "donkey",  "drum",    "eggplant", "elbow",   "fern",   "fiddle",  "fossil",  "garlic",  "giraffe",
    "goose",   "hazel",   "heron",    "honey",   "igloo",  "jasmine", "kitten",  "lemon",   "lobster",
    "maple",   "melon",   "mitten",   "mustard", "nutmeg", "olive",   "otter",   "oyster",  "parsley",
    "peacock", "pebble",  "penguin",  "plum",    "poppy",  "raisin",  "saffron", "sparrow", "squid",
    "teapot",  "thistle", "tulip",    "turnip",  "willow", "yarn"};

struct Wording {
  std::string_view text;      // {0} the key, {1} the value
  std::string_view question;  // {0} the key
  std::string_view lead;      // {0} the key
};

constexpr Wording wordings[] = {
    {"The special magic number for {0} is {1}.", "What is the special magic number for {0}?",
     "The special magic number for {0} is "},
    {"The secret code of the {0} club is {1}.", "What is the secret code of the {0} club?",
     "The secret code of the {0} club is "},
    {"The phone number of the {0} shop is {1}.", "What is the phone number of the {0} shop?",
     "The phone number of the {0} shop is "},
    {"The account number for {0} is {1}.", "What is the account number for {0}?",
     "The account number for {0} is "}};

std::string digits(uint32_t n, Draws& draws) {
  std::string text;
  for (uint32_t i = 0; i < n; ++i) text += static_cast<char>('0' + draws.below(10));
  return text;
}

// The form in which the model of record answers best of those that were tried: a raw continuation comes
// close, its chat template is worst.
std::string question_text(std::string_view question, std::string_view lead) {
  return fmt::format("\n\nQuestion: {}\nAnswer: {}", question, lead);
}

}  // namespace

const std::string_view noise_text =
    "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.\n";

std::vector<Needle> keyed_numbers(size_t n, Draws& draws) {
  std::vector<std::string_view> keys(key_words.begin(), key_words.end());
  draws.shuffle(keys);
  std::vector<Needle> needles;
  for (size_t i = 0; i < n; ++i) {
    const Wording& wording = wordings[draws.below(std::size(wordings))];
    const std::string value = digits(n_keyed_digits, draws);
    needles.push_back({.text = fmt::format(fmt::runtime(wording.text), keys[i], value),
                       .question = question_text(fmt::format(fmt::runtime(wording.question), keys[i]),
                                                 fmt::format(fmt::runtime(wording.lead), keys[i])),
                       .value = value});
  }
  return needles;
}

Needle passkey(Draws& draws) {
  const std::string value = digits(n_passkey_digits, draws);
  return {.text = fmt::format("The pass key is {0}. Remember it. {0} is the pass key.", value),
          .question = question_text("What is the pass key?", "The pass key is "),
          .value = value};
}

Needle digit_sequence(Draws& draws) {
  const std::string value = digits(n_sequence_digits, draws);
  return {.text = fmt::format("The sequence of digits is {0}. Remember it. {0} is the sequence of digits.",
                              value),
          .question = question_text("What is the sequence of digits?", "The sequence of digits is "),
          .value = value};
}

}  // namespace tenure
