// Runs documents through the engine, once with the full cache and once for every policy and budget, and asks
// each cache the same questions.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "eval/documents.h"
#include "record/row.h"
#include "session/settings.h"

namespace tenure {

// One line of the table: a policy under a budget.
struct EvalLine {
  std::string policy;  // as the user named it
  std::string budget;  // as in a pipeline; empty = none
  PolicySettings settings;
};

struct QuestionScore {
  Instrument instrument = Instrument::keyed;
  uint32_t pos = 0;        // as in the question
  uint32_t n_tokens = 0;   // of the answer
  uint32_t n_correct = 0;  // that were the most likely one
  double logprob = 0;      // natural, of all of them
  // Of a continuation, against the full cache: means over its tokens.
  std::optional<double> kl;
  std::optional<double> agreement;  // of the most likely tokens
};

struct DocumentScores {
  std::optional<RowError> error;  // then there is nothing else
  std::vector<QuestionScore> questions;
  uint64_t peak_bytes = 0;  // of the cache while the document was fed
  uint64_t end_bytes = 0;   // and once it was
  double policy_ms = 0;
};

struct LineScores {
  std::vector<DocumentScores> documents;  // as they were given
};

// `full` keeps everything and comes first: others are measured against it. Answers one result a line, the
// full one in front; nothing when `stop` was set meanwhile. `say` is told of each document that is done.
// Throws Error when a document does not fit or fails under the full cache.
std::optional<std::vector<LineScores>> evaluate(Engine& engine, const EvalLine& full,
                                                const std::vector<EvalLine>& lines,
                                                const std::vector<Document>& documents,
                                                const std::atomic<bool>& stop,
                                                const std::function<void(size_t n_done)>& say);

}  // namespace tenure
