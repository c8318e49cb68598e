// What a trainable policy learns from: a document, and questions about it that each follow it on a fork of their own.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tenure {

// A fact or a number that was hidden, a run of random tokens, words to repeat, or the text that simply goes on.
enum class QuestionKind : uint8_t { fact, copy, repeat, continuation };

struct TrainingQuestion {
  QuestionKind kind = QuestionKind::fact;
  std::vector<int32_t> lead;    // fed after the document
  std::vector<int32_t> answer;  // fed behind it, but for its last token: the rows that predict it say what mattered
};

struct TrainingDocument {
  std::string id;
  std::vector<int32_t> ids;
  std::vector<TrainingQuestion> questions;
};

}  // namespace tenure
