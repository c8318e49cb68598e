// Plain text as tokens, to hide things in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "eval/draws.h"
#include "tokenizer/tokenizer.h"

namespace tenure {

// Where something that was hidden went.
struct Hidden {
  size_t insert = 0;  // its index as it was given
  uint32_t pos = 0;   // of its first token
};

struct Woven {
  std::vector<int32_t> ids;
  std::vector<Hidden> hidden;  // in the order of pos
  size_t n_filler = 0;         // tokens of the filler that are in it: what follows begins there
};

class Haystack {
 public:
  // `tokenizer` outlives it. Throws Error when the vocabulary has too few words to draw from.
  Haystack(const Tokenizer& tokenizer, std::vector<std::string> lines);

  // As what comes inside a text.
  std::vector<int32_t> encode(const std::string& text) const;
  // At least n tokens of whole lines from a drawn one on, round the end. Throws Error when there are fewer.
  std::vector<int32_t> stretch(size_t n, Draws& draws) const;
  // Drawn from the vocabulary's words: tokens of nothing but letters, maybe behind a blank.
  std::vector<int32_t> random_words(size_t n, Draws& draws) const;
  // n tokens: the first sentences of `text`, about n_passage tokens of it, over and over.
  std::vector<int32_t> refrain(const std::vector<int32_t>& text, size_t n_passage, size_t n) const;

  // n tokens: `filler` from its start, and between its sentences the inserts in a drawn order, one in each
  // stratum of depth; a BOS first where the model asks for it. `filler` has at least n tokens. Throws Error
  // when the inserts leave too little of them.
  Woven weave(const std::vector<int32_t>& filler, const std::vector<std::vector<int32_t>>& inserts, size_t n,
              Draws& draws) const;

 private:
  size_t nearest_break(const std::vector<int32_t>& filler, size_t wanted, size_t last) const;
  bool is_break(const std::vector<int32_t>& filler, size_t i) const;

  const Tokenizer& tokenizer_;
  std::vector<std::string> lines_;
  std::vector<int32_t> words_;
};

void append(std::vector<int32_t>& ids, const std::vector<int32_t>& more);

}  // namespace tenure
