// Which documents and questions an evaluation is made of.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "eval/documents.h"

namespace tenure {

enum class Suite : uint8_t { all, retrieval, text };

struct SuiteSizes {
  uint32_t n_text = 16;
  // Half as many of each as of text where nothing else is said; none where the suite asks for text alone.
  std::optional<uint32_t> n_noise, n_sentences;
};

// The documents with their numbers are the same in every suite.
std::vector<Document> suite_documents(const DocumentMaker& maker, Suite suite, const SuiteSizes& sizes);

// Tokens of the longest document with its longest question.
uint64_t longest_path(const std::vector<Document>& documents);

}  // namespace tenure
