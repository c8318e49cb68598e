// Text to tokens as GGUF's tokenizer.ggml.model "gpt2" has it: words, their bytes, and merges by rank.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizer/merge_table.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/vocabulary.h"

namespace tenure {

class ByteLevelEncoder {
 public:
  ByteLevelEncoder(const Vocabulary& vocabulary, const TokenizerMetadata& metadata);

  // Appends the tokens of `text`, valid UTF-8 without special tokens. A byte for which the vocabulary has no
  // token is dropped, as the reference tokenizers do. O(n log n), thread-safe.
  void encode(std::string_view text, std::vector<int32_t>& ids) const;

 private:
  PreTokenizer pre_tokenizer_;
  MergeTable merges_;
  std::array<int32_t, 256> byte_tokens_{};  // -1 = none
  // Bytes of the ordinary tokens; empty unless a word that is a token needs no merging.
  std::unordered_map<std::string, int32_t> whole_words_;
};

// What a token of a byte-level vocabulary stands for.
std::string byte_level_text(const Vocabulary& vocabulary, size_t id);

}  // namespace tenure
