// Which of the tokenizers we run a tokenizer.json describes: its normalizer, pre_tokenizer and model options,
// matched node by node. What is not known exactly is refused: another split would change every answer a
// little.
#pragma once

#include <string>

#include "weights/json_file.h"

namespace tenure {

struct TokenizerStyle {
  std::string model;  // as in TokenizerMetadata
  std::string pre;
  bool add_space_prefix = false;
  bool add_space_after_special = false;
  bool skips_present_blank = false;
  bool ignore_merges = false;
};

// Throws Error(model_unsupported) naming the node that was found.
TokenizerStyle read_tokenizer_style(const JsonObject& tokenizer);

}  // namespace tenure
