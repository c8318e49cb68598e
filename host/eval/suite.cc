#include "eval/suite.h"

#include <algorithm>

namespace tenure {
namespace {

bool belongs(const Question& question, Suite suite) {
  const bool is_text = question.instrument == Instrument::continuation;
  return suite == Suite::all || is_text == (suite == Suite::text);
}

}  // namespace

std::vector<Document> suite_documents(const DocumentMaker& maker, Suite suite, const SuiteSizes& sizes) {
  const uint32_t half = (sizes.n_text + 1) / 2;
  const bool retrieves = suite != Suite::text;
  const uint32_t n_noise = retrieves ? sizes.n_noise.value_or(half) : 0;
  const uint32_t n_sentences = retrieves ? sizes.n_sentences.value_or(half) : 0;
  std::vector<Document> documents;
  for (uint32_t i = 0; i < sizes.n_text; ++i) documents.push_back(maker.text_document(i));
  for (uint32_t i = 0; i < n_noise; ++i) documents.push_back(maker.noise_document(i));
  for (uint32_t i = 0; i < n_sentences; ++i) documents.push_back(maker.sentence_document(i));
  for (Document& document : documents) {
    std::erase_if(document.questions, [&](const Question& question) { return !belongs(question, suite); });
  }
  return documents;
}

uint64_t longest_path(const std::vector<Document>& documents) {
  uint64_t longest = 0;
  for (const Document& document : documents) {
    for (const Question& question : document.questions) {
      longest =
          std::max<uint64_t>(longest, document.ids.size() + question.lead.size() + question.answer.size());
    }
  }
  return longest;
}

}  // namespace tenure
