// Which of the tokenizers we run a tokenizer.json describes: its normalizer, pre_tokenizer and model options,
// matched node by node. What is not known exactly is refused: another split would change every answer a
// little.
#pragma once

#include "weights/json_file.h"
#include "weights/tokenizer_metadata.h"

namespace tenure {

// What that decides of the metadata: model, pre, ignore_merges, and where blanks are added. Throws
// Error(model_unsupported) naming the node that was found.
TokenizerMetadata read_tokenizer_style(const JsonObject& tokenizer);

}  // namespace tenure
