#include "train/wordings.h"

#include <fmt/format.h>

#include <span>
#include <string_view>

namespace tenure {
namespace {

enum class Value : uint8_t { number, phone, year, word };

struct AskedWording {
  std::string_view text;      // {0} the key, {1} the value, {2} the key with a capital
  std::string_view question;  // {0}, {2}
  std::string_view lead;      // {0}, {2}; a value of digits follows it directly, a word behind a blank
  Value value = Value::number;
  uint32_t least_digits = 0, most_digits = 0;  // of a number
};

constexpr AskedWording number_wordings[] = {
    {"The locker of {2} opens with {1}.", "Which combination opens the locker of {2}?",
     "The locker of {2} opens with ", Value::number, 3, 12},
    {"To reach {2}, dial {1}.", "What does one dial to reach {2}?", "To reach {2}, dial ", Value::number, 5,
     12},
    {"Contact for the {0} desk: {1}", "How is the {0} desk contacted?",
     "Contact for the {0} desk: ", Value::phone},
    {"{0} = {1}", "Which value was {0} set to?", "{0} = ", Value::number, 2, 12},
    {"One {0} was sold for {1} crowns.", "How many crowns did one {0} bring?", "One {0} was sold for ",
     Value::number, 2, 5},
    {"<{0}>{1}</{0}>", "What do the tags named {0} enclose?", "<{0}>", Value::number, 3, 12},
    {"{{\"{0}\": \"{1}\"}}", "Which string does the JSON object hold under \"{0}\"?", "{{\"{0}\": \"",
     Value::number, 3, 10},
    {"| {0} | {1} |", "What stands beside {0} in the table?", "| {0} | ", Value::number, 2, 7},
    {"Ticket {1} was drawn for the {0}.", "Which ticket was drawn for the {0}?",
     "The ticket drawn for the {0} is ", Value::number, 4, 10},
    {"{2} still has {1} pages to copy.", "How many pages does {2} have to copy?", "{2} still has ",
     Value::number, 2, 4},
    {"(The catalogue lists the {0} under {1}.)", "Under which number does the catalogue list the {0}?",
     "The catalogue lists the {0} under ", Value::number, 4, 12},
    {"{1} is what the label on the {0} says. Write it down: {1} is for the {0}.",
     "What does the label on the {0} say?", "The label on the {0} says ", Value::number, 5, 12},
    {"{2} counts the days by {1}. Do not forget it, {1} is how {2} counts.",
     "By what does {2} count the days?", "{2} counts the days by ", Value::number, 5, 12},
    {"The {0} dates from {1}.", "From which year is the {0}?", "The {0} dates from ", Value::year}};

constexpr AskedWording word_wordings[] = {
    {"{2} answers only to the word {1}.", "Which word does {2} answer to?", "{2} answers only to the word",
     Value::word},
    {"On the lid of the {0} somebody wrote \"{1}\".", "What did somebody write on the lid of the {0}?",
     "The lid of the {0} says \"", Value::word},
    {"Those who ask for the {0} are sent to the {1}.", "Where are those sent who ask for the {0}?",
     "They are sent to the", Value::word},
    {"{0}: {1}", "What is noted for {0}?", "{0}:", Value::word}};

constexpr AskedWording held_out_wordings[] = {
    {"Parcel {1} is meant for {2}.", "Which parcel is meant for {2}?", "The parcel meant for {2} is ",
     Value::number, 3, 8},
    {"The {0} carries the engraving {1}.", "Which engraving does the {0} carry?",
     "The {0} carries the engraving ", Value::number, 4, 8}};

// {0} and {1} invented names, {2} a word; what is asked for follows.
constexpr std::string_view sentence_wordings[] = {"When {0} first came to {1}, all he owned was the",
                                                  "The council of {1} promised {0} a",
                                                  "Under the stairs {0} of {1} hides the",
                                                  "{0} gave up the {2} of {1} in return for the",
                                                  "Travellers from {1} swear that {0} cannot sleep without a",
                                                  "Above the gate of {1} hangs a",
                                                  "{0} and the {2} of {1} fell out over the",
                                                  "Of all things in the {2}, {0} would miss the",
                                                  "Nothing frightens {0} more than a",
                                                  "On market days {0} trades the {2} of {1} for a",
                                                  "Long ago {1} was ruled by {0} with a",
                                                  "At night the {2} of {0} turns into a",
                                                  "{0} told the judge in {1} about the"};

constexpr std::string_view held_out_sentence_wordings[] = {"Ships that leave {1} carry nothing but",
                                                           "It was {0} who taught {1} to mend the"};

// {0} an invented name.
constexpr std::string_view list_wordings[] = {
    "Packed for {0}: ", "The children of {0} recite: ", "Sold at the market of {0}: "};

// Forms of a question that the evaluation does not use. {0} the question, {1} the lead of the answer.
constexpr std::string_view question_forms[] = {"\n\nQ: {0}\nA: {1}", "\n\n{0}\n{1}",
                                               "\n\nReader: {0}\nWriter: {1}", "\n{1}"};

template <typename T>
const T& any_of(std::span<const T> values, Draws& draws) {
  return values[draws.below(values.size())];
}

template <typename T, size_t n>
const T& any_of(const T (&values)[n], Draws& draws) {
  return any_of(std::span<const T>(values), draws);
}

template <typename... Values>
std::string filled(std::string_view wording, const Values&... values) {
  return fmt::format(fmt::runtime(wording), values...);
}

std::string capitalised(std::string word) {
  if (!word.empty() && word[0] >= 'a' && word[0] <= 'z') word[0] = static_cast<char>(word[0] - 'a' + 'A');
  return word;
}

// From `least` to `most`.
size_t between(size_t least, size_t most, Draws& draws) {
  return least + draws.below(most - least + 1);
}

std::string digits(size_t n, Draws& draws) {
  std::string text;
  for (size_t i = 0; i < n; ++i) text += static_cast<char>('0' + draws.below(10));
  return text;
}

std::string value_of(const AskedWording& wording, WordSupply& words, Draws& draws) {
  switch (wording.value) {
    case Value::number:
      return digits(between(wording.least_digits, wording.most_digits, draws), draws);
    case Value::phone:
      return digits(3, draws) + "-" + digits(4, draws);
    case Value::year:
      return fmt::format("{}", between(1000, 2099, draws));
    case Value::word:
      break;
  }
  return words.next();
}

const AskedWording& asked_wording(DocumentSet set, Draws& draws) {
  if (set == DocumentSet::held_out) return any_of(held_out_wordings, draws);
  return draws.next() < 0.75 ? any_of(number_wordings, draws) : any_of(word_wordings, draws);
}

std::string invented_name(Draws& draws) {
  constexpr std::string_view consonants = "bdfgklmnprstvz", vowels = "aeiou", ends = "lnrstx";
  std::string name;
  for (size_t n = between(2, 3, draws); n > 0; --n) {
    name += consonants[draws.below(consonants.size())];
    name += vowels[draws.below(vowels.size())];
  }
  return capitalised(name + ends[draws.below(ends.size())]);
}

std::string some_words(size_t n, WordSupply& words) {
  std::string text;
  for (size_t i = 0; i < n; ++i) text += " " + words.next();
  return text;
}

// Often a line of its own, else behind the sentence before.
std::string set_apart(const std::string& text, Draws& draws) {
  return (draws.next() < 0.6 ? "\n" : " ") + text + "\n";
}

constexpr uint32_t long_digits = 8;

Fact fact_of(const AskedWording& wording, const std::string& value, WordSupply& words, Draws& draws) {
  const std::string key = words.next();
  const std::string capital = capitalised(key);
  const std::string lead = filled(wording.lead, key, "", capital);
  const std::string question = filled(wording.question, key, "", capital);
  const bool ends_in_word = wording.value == Value::word && !lead.ends_with('"');
  return {.text = set_apart(filled(wording.text, key, value, capital), draws),
          .lead = filled(any_of(question_forms, draws), question, lead),
          .answer = (ends_in_word ? " " : "") + value};
}

}  // namespace

WordSupply::WordSupply(std::vector<std::string> words, Draws& draws) : words_(std::move(words)) {
  draws.shuffle(words_);
}

const std::string& WordSupply::next() {
  return words_[n_taken_++ % words_.size()];
}

Fact asked_fact(DocumentSet set, WordSupply& words, Draws& draws) {
  const AskedWording& wording = asked_wording(set, draws);
  const std::string value = value_of(wording, words, draws);
  return fact_of(wording, value, words, draws);
}

Fact long_number_fact(DocumentSet set, WordSupply& words, Draws& draws) {
  const AskedWording* wording = nullptr;
  do {
    wording = &asked_wording(set, draws);
  } while (wording->most_digits < long_digits);
  const std::string value = digits(between(long_digits, wording->most_digits, draws), draws);
  return fact_of(*wording, value, words, draws);
}

Fact sentence_fact(DocumentSet set, WordSupply& words, Draws& draws) {
  const std::string_view wording = set == DocumentSet::held_out ? any_of(held_out_sentence_wordings, draws)
                                                                : any_of(sentence_wordings, draws);
  const std::string name = invented_name(draws);
  const std::string other_name = invented_name(draws);
  const std::string lead = filled(wording, name, other_name, words.next());
  const std::string value =
      draws.next() < 0.25 ? " " + invented_name(draws) : some_words(between(1, 3, draws), words);
  return {.text = set_apart(lead + value + ".", draws), .lead = "\n\n" + lead, .answer = value};
}

Fact word_list(WordSupply& words, Draws& draws) {
  std::string lead = filled(any_of(list_wordings, draws), invented_name(draws)) + words.next();
  lead += ", " + words.next();
  std::string rest;
  for (size_t n = between(8, 12, draws); n > 0; --n) rest += ", " + words.next();
  return {.text = set_apart(lead + rest + ".", draws), .lead = "\n\n" + lead, .answer = rest + "."};
}

size_t n_asked_wordings(DocumentSet set) {
  return set == DocumentSet::held_out ? std::size(held_out_wordings)
                                      : std::size(number_wordings) + std::size(word_wordings);
}

size_t n_sentence_wordings(DocumentSet set) {
  return set == DocumentSet::held_out ? std::size(held_out_sentence_wordings) : std::size(sentence_wordings);
}

}  // namespace tenure
