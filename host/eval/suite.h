// Which documents and questions an evaluation is made of.
#pragma once

#include <cstdint>
#include <vector>

#include "eval/documents.h"

namespace tenure {

enum class Suite : uint8_t { all, retrieval, text };

// n stretches of text, and half as many of noise where the suite asks for what is hidden in them. The
// stretches are the same in every suite.
std::vector<Document> suite_documents(const DocumentMaker& maker, Suite suite, uint32_t n);

// Tokens of the longest document with its longest question.
uint64_t longest_path(const std::vector<Document>& documents);

}  // namespace tenure
