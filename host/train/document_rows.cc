#include "train/document_rows.h"

#include <algorithm>

namespace tenure {

DocumentLayout layout_of(const TrainingDocument& document, uint32_t n_asking) {
  DocumentLayout layout{.n_tokens = static_cast<uint32_t>(document.ids.size())};
  for (const TrainingQuestion& question : document.questions) {
    const auto n_lead = static_cast<uint32_t>(question.lead.size());
    const auto n_answer = static_cast<uint32_t>(question.answer.size());
    const QuestionRows rows{.first_row = layout.n_question_rows,
                            .n_rows = n_lead + n_answer - 1,
                            .first_label_row = layout.n_label_rows,
                            .n_label_rows = n_answer + std::min(n_lead - 1, n_asking)};
    layout.n_question_rows += rows.n_rows;
    layout.n_label_rows += rows.n_label_rows;
    layout.questions.push_back(rows);
  }
  return layout;
}

}  // namespace tenure
