// tokenizer.json of a Hugging Face model folder, with what the files beside it say of the tokenizer →
// TokenizerMetadata.
#pragma once

#include <cstdint>
#include <string>

#include "weights/json_file.h"
#include "weights/tokenizer_metadata.h"

namespace tenure {

// Only the first must be there.
struct TokenizerFiles {
  const JsonFile* tokenizer = nullptr;
  const JsonFile* tokenizer_config = nullptr;
  const JsonFile* generation_config = nullptr;
  const JsonFile* config = nullptr;
  std::string chat_template;  // of chat_template.jinja; empty = absent
};

// n_vocab: rows of the embedding. Rows that no token claims become unused tokens, and added tokens without a
// row are left out: both occur in published models. Throws Error: tokenizer_malformed, model_malformed, or
// model_unsupported for a tokenizer that is not run.
TokenizerMetadata read_tokenizer_json(const TokenizerFiles&, uint32_t n_vocab);

}  // namespace tenure
