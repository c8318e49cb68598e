// Documents with needles in them, and the questions about them: made anew from a seed, never stored.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "eval/draws.h"
#include "eval/haystack.h"
#include "eval/needles.h"

namespace tenure {

// What a question measures.
enum class Instrument : uint8_t { keyed, passkey, copy, r_number, sentence, continuation };

struct Question {
  Instrument instrument = Instrument::keyed;
  std::vector<int32_t> lead;    // fed after the document: the question and how its answer begins
  std::vector<int32_t> answer;  // scored
  uint32_t pos = 0;             // of the needle's first token; where a continuation begins
};

struct Document {
  std::string id;    // "text-3", "noise-0", "sentences-1"
  uint64_t key = 0;  // its draws begin here
  std::vector<int32_t> ids;
  std::vector<Question> questions;
};

struct DocumentSettings {
  uint64_t seed = 0;
  uint32_t context = 1024;       // tokens of a document, exactly
  uint32_t n_continuation = 64;  // tokens after it that are scored
};

class DocumentMaker {
 public:
  // `tokenizer` outlives the maker. Throws Error when a document of that many tokens cannot be made of such
  // text.
  DocumentMaker(const Tokenizer& tokenizer, std::vector<std::string> lines, const DocumentSettings& settings);

  // A stretch of the text with keyed numbers, a passkey and random tokens in it, at depths of their own.
  Document text_document(uint32_t index) const;
  // A sequence of digits in endless noise.
  Document noise_document(uint32_t index) const;
  // Another stretch of the text with sentences about invented names in it.
  Document sentence_document(uint32_t index) const;

 private:
  struct Insert {
    std::vector<int32_t> ids;
    Question question;
  };
  Document start(const char* kind, uint32_t index) const;
  Insert insert_of(const Needle& needle, Instrument instrument) const;
  Insert random_tokens(Draws& draws) const;
  // Puts the text and the questions into the document. Returns how much of the filler it took.
  size_t assemble(Document& document, const std::vector<int32_t>& filler, std::vector<Insert> inserts,
                  Draws& draws) const;

  Haystack haystack_;
  DocumentSettings settings_;
};

}  // namespace tenure
