// Training documents made of plain text: what stands in them and what is asked, anew from a seed and an
// index, never stored.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "eval/haystack.h"
#include "train/training_document.h"
#include "train/wordings.h"

namespace tenure {

// What documents are made of. Where a number is "at most", a document has from half of it to it. All others
// 0, the text that goes on is all that is asked for: heads trained so know nothing about retrieval.
struct DocumentMix {
  uint32_t n_facts = 6;          // at most: asked as questions
  double sentence_share = 0.5;   // of the documents: state sentence facts too, and ask half as many questions
  uint32_t n_sentences = 5;      // at most, in those
  double list_share = 0.5;       // of those: have a list of words
  double refrain_share = 0.25;   // of the documents: their text is a few sentences over and over
  uint32_t n_random = 2;         // runs of random tokens: from none to it
  uint32_t n_repeats = 3;        // stretches of the document to be said again
  uint32_t n_continuation = 96;  // tokens that follow the document
};

struct TrainingDocumentSettings {
  uint64_t seed = 0;
  uint32_t context = 1024;  // tokens of a document, exactly
  DocumentSet set = DocumentSet::training;
  DocumentMix mix;
};

// The lines of all files: the first nine tenths of each for training, the rest held out. Throws Error when a
// file cannot be read, is no text or has no line.
std::vector<std::string> read_training_lines(const std::vector<std::string>& files, DocumentSet set);

class TrainingDocumentMaker {
 public:
  // `tokenizer` outlives the maker. Throws Error for a context that is too short and a mix that asks for
  // nothing.
  TrainingDocumentMaker(const Tokenizer& tokenizer, std::vector<std::string> lines,
                        const TrainingDocumentSettings& settings);

  // Throws Error when the text is too short for it.
  TrainingDocument document(uint32_t index) const;

 private:
  struct Insert {
    std::vector<int32_t> ids;
    TrainingQuestion question;
  };
  std::vector<Insert> long_numbers_for(const std::vector<int32_t>& filler, Draws& draws) const;
  std::vector<Insert> inserts_for(const std::vector<int32_t>& filler, Draws& draws) const;
  std::vector<Insert> that_fit(std::vector<Insert> inserts, Draws& draws) const;
  Insert insert_of(const Fact& fact) const;
  Insert random_run(Draws& draws) const;
  TrainingQuestion repeat_of(const std::vector<int32_t>& ids, Draws& draws) const;
  std::vector<std::string> words_for(const std::vector<int32_t>& filler, Draws& draws) const;

  const Tokenizer& tokenizer_;
  Haystack haystack_;
  TrainingDocumentSettings settings_;
};

}  // namespace tenure
