// What training documents state and ask for, as text: the seeded wording of each kind of fact. None of them
// is a wording of the evaluation's (eval/needles.h), so what a trained policy can do there it did not learn
// by heart.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "eval/draws.h"

namespace tenure {

// Held-out documents have wordings and text of their own, on which nothing is trained.
enum class DocumentSet : uint8_t { training, held_out };

struct Fact {
  std::string text;    // as it stands in the document, on a line of its own or behind a sentence
  std::string lead;    // a question up to the lead of its answer, or the statement begun again
  std::string answer;  // what goes on directly behind the lead
};

// Words in a drawn order, from the start again when all were taken.
class WordSupply {
 public:
  // At least one.
  WordSupply(std::vector<std::string> words, Draws& draws);
  const std::string& next();

 private:
  std::vector<std::string> words_;
  size_t n_taken_ = 0;
};

// A number (three times of four), a year or a word that belongs to a key, asked for.
Fact asked_fact(DocumentSet set, WordSupply& words, Draws& draws);
// A number of 8 digits or more.
Fact long_number_fact(DocumentSet set, WordSupply& words, Draws& draws);
// A sentence about an invented name that ends in one to three words or another name; begun again it goes on
// with them.
Fact sentence_fact(DocumentSet set, WordSupply& words, Draws& draws);
// A list of words, begun again with its first two.
Fact word_list(WordSupply& words, Draws& draws);

size_t n_asked_wordings(DocumentSet set);
size_t n_sentence_wordings(DocumentSet set);

}  // namespace tenure
