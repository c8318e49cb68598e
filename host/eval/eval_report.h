// What an evaluation found, for people and for programs. The JSON is described in docs/quality.md.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "eval/evaluate.h"
#include "eval/interval.h"

namespace tenure {

struct EvalReport {
  std::string model_file, model_name;
  std::string backend, code_path;
  std::vector<std::string> text_files;
  uint64_t seed = 0;
  uint32_t context = 0;
  std::vector<Document> documents;
  // The full cache first; scores in the same order.
  std::vector<EvalLine> lines;
  std::vector<LineScores> scores;
};

// Over the documents of one line that have such questions: each figure is a document's mean first.
struct InstrumentEstimates {
  Estimate exact;     // share of answers whose every token is the most likely one
  Estimate accuracy;  // share of tokens
  Estimate logprob;   // mean of a token's
  // Of a continuation.
  Estimate kl, agreement, perplexity;
};

InstrumentEstimates estimate(const LineScores& line, Instrument instrument, uint64_t seed);

// The instruments that ask for what a document says.
inline constexpr std::array retrieval_instruments = {Instrument::keyed, Instrument::passkey, Instrument::copy,
                                                     Instrument::r_number, Instrument::sentence};

// Of the answers of all informative ones together, over the documents that line `i` got through.
struct RetrievalEstimates {
  Estimate accuracy;  // share of tokens
  Estimate of_full;   // tokens that are right, of those that are under the full cache
};

RetrievalEstimates estimate_retrieval(const EvalReport& report, size_t i);

// Means over the documents of one line.
struct LineCosts {
  double end_bytes = 0, peak_bytes = 0, policy_ms = 0;
};

LineCosts costs_of(const LineScores& line);

// Whether the full cache itself answers well enough for a policy's failure to mean anything.
bool is_informative(const LineScores& full, Instrument instrument);
// The accuracy below which it does not; 0 = always informative.
double accuracy_floor(Instrument instrument);
const char* name_of(Instrument instrument);

size_t n_errors(const EvalReport& report);
std::string eval_table(const EvalReport& report);  // GitHub's markdown
std::string eval_json(const EvalReport& report);   // one object and a newline

}  // namespace tenure
