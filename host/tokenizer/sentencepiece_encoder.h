// Text to tokens as GGUF's tokenizer.ggml.model "llama" has it: SentencePiece's BPE. The characters of the
// whole text, blanks as ▁, are merged pair by pair; what has no token becomes the tokens of its bytes.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizer/merge_table.h"
#include "tokenizer/vocabulary.h"

namespace tenure {

class SentencePieceEncoder {
 public:
  // Which pair merges first is told by the scores of what they make (GGUF) or, without scores, by a list of
  // merges (tokenizer.json). Throws Error(tokenizer_malformed) where there is neither.
  SentencePieceEncoder(const Vocabulary& vocabulary, const TokenizerMetadata& metadata);

  // Appends the tokens of `text`, valid UTF-8 without special tokens. No blank is put before it. A character
  // without a token and without byte tokens is the unknown token, once for several in a row; where there is
  // none, it is dropped. O(n log n), thread-safe.
  void encode(std::string_view text, std::vector<int32_t>& ids) const;

 private:
  using Symbols = std::unordered_map<std::string_view, int32_t>;

  void read_bytes(const Vocabulary& vocabulary);
  std::vector<MergeTable::Merge> merges_by_score(const Symbols& symbols, const std::vector<float>& scores);
  void read_unused(const Vocabulary& vocabulary);
  std::vector<int32_t> symbols_of(std::string_view spelling) const;
  void append_symbol(std::string_view character, std::vector<int32_t>& symbols) const;
  void append_bytes(std::string_view character, std::vector<int32_t>& ids) const;

  int32_t n_vocab_;
  int32_t unknown_ = MergeTable::none;
  std::array<int32_t, 256> byte_tokens_{};               // -1 = none
  std::unordered_map<std::string, int32_t> characters_;  // symbols of one character
  std::vector<std::string> lone_characters_;             // symbol n_vocab + i: no token, but part of some
  MergeTable merges_;
  std::unordered_map<int32_t, std::vector<int32_t>> unused_;  // what is told to the model in their place
};

// What a token of a SentencePiece vocabulary stands for. Throws Error(tokenizer_malformed) for a byte token
// that is not spelled like <0x41>.
std::string sentencepiece_text(const Vocabulary& vocabulary, size_t id);

}  // namespace tenure
