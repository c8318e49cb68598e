// What a document leaves behind for its labels: keys of every token, and the queries of the rows that say what mattered.
// Layer by layer, in host memory; one document at a time.
#pragma once

#include <cstdint>
#include <vector>

#include "train/training_document.h"

namespace tenure {

// Where the rows of a question are among those of all questions.
struct QuestionRows {
  uint32_t first_row = 0;        // of the tokens that are fed: the lead, and the answer but its last token
  uint32_t n_rows = 0;
  uint32_t first_label_row = 0;  // of the label rows: the last n_label_rows of n_rows
  uint32_t n_label_rows = 0;
};

struct DocumentLayout {
  uint32_t n_tokens = 0;
  uint32_t n_question_rows = 0;  // of all questions
  uint32_t n_label_rows = 0;
  std::vector<QuestionRows> questions;
};

// n_asking: of the tokens that ask, the last so many before the one that predicts the answer's first are label rows too.
DocumentLayout layout_of(const TrainingDocument& document, uint32_t n_asking);

// One layer's rows, after RoPE.
struct LayerRowStore {
  std::vector<float> keys;           // (n_tokens, n_kv_heads, head_dim)
  std::vector<float> question_keys;  // (n_question_rows, n_kv_heads, head_dim)
  std::vector<float> queries;        // (n_label_rows, n_heads, head_dim)
  // Euclidean norms, of those that label_evidence() (labels.h) asks for:
  std::vector<float> value_norms;    // (n_tokens, n_kv_heads)
  std::vector<float> hidden_norms;   // (n_label_rows) of the attention's input
};

}  // namespace tenure
