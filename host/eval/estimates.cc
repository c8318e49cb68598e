#include <algorithm>
#include <cmath>

#include "eval/eval_report.h"

namespace tenure {
namespace {

// One figure a document, the mean over its questions of one instrument.
template <typename Figure>
std::vector<double> by_document(const LineScores& line, Instrument instrument, Figure figure) {
  std::vector<double> values;
  for (const DocumentScores& document : line.documents) {
    double sum = 0;
    size_t n = 0;
    for (const QuestionScore& question : document.questions) {
      if (question.instrument != instrument) continue;
      sum += figure(question);
      ++n;
    }
    if (n > 0) values.push_back(sum / static_cast<double>(n));
  }
  return values;
}

double accuracy(const QuestionScore& q) {
  return static_cast<double>(q.n_correct) / q.n_tokens;
}
double logprob(const QuestionScore& q) {
  return q.logprob / q.n_tokens;
}

struct Answered {
  double n_right = 0, n_tokens = 0;
};

Answered answered(const DocumentScores& document, const std::vector<Instrument>& instruments) {
  Answered sum;
  for (const QuestionScore& question : document.questions) {
    if (std::find(instruments.begin(), instruments.end(), question.instrument) == instruments.end()) continue;
    sum.n_right += question.n_correct;
    sum.n_tokens += question.n_tokens;
  }
  return sum;
}

// Documents have equally many tokens, so the mean of their log-probabilities is that of all tokens.
Estimate perplexity_of(const Estimate& logprob) {
  if (logprob.n == 0) return {};
  return {.mean = std::exp(-logprob.mean),
          .low = std::exp(-logprob.high),
          .high = std::exp(-logprob.low),
          .n = logprob.n};
}

}  // namespace

InstrumentEstimates estimate(const LineScores& line, Instrument instrument, uint64_t seed) {
  const auto mean = [&](auto figure) { return bootstrap_mean(by_document(line, instrument, figure), seed); };
  InstrumentEstimates result{
      .exact = mean([](const QuestionScore& q) { return q.n_correct == q.n_tokens ? 1.0 : 0.0; }),
      .accuracy = mean(accuracy),
      .logprob = mean(logprob)};
  if (instrument != Instrument::continuation) return result;
  result.kl = mean([](const QuestionScore& q) { return q.kl.value_or(0); });
  result.agreement = mean([](const QuestionScore& q) { return q.agreement.value_or(0); });
  result.perplexity = perplexity_of(result.logprob);
  return result;
}

RetrievalEstimates estimate_retrieval(const EvalReport& report, size_t i) {
  const LineScores &full = report.scores.front(), &line = report.scores[i];
  std::vector<Instrument> informative;
  for (const Instrument instrument : retrieval_instruments) {
    if (is_informative(full, instrument)) informative.push_back(instrument);
  }
  std::vector<double> right, right_in_full, asked;
  for (size_t d = 0; d < line.documents.size(); ++d) {
    const Answered mine = answered(line.documents[d], informative);
    if (mine.n_tokens == 0) continue;
    right.push_back(mine.n_right);
    asked.push_back(mine.n_tokens);
    right_in_full.push_back(answered(full.documents[d], informative).n_right);
  }
  return {.accuracy = bootstrap_ratio(right, asked, report.seed),
          .of_full = bootstrap_ratio(right, right_in_full, report.seed)};
}

LineCosts costs_of(const LineScores& line) {
  LineCosts costs;
  double n = 0;
  for (const DocumentScores& document : line.documents) {
    if (document.error) continue;
    ++n;
    costs.end_bytes += static_cast<double>(document.end_bytes);
    costs.peak_bytes += static_cast<double>(document.peak_bytes);
    costs.policy_ms += document.policy_ms;
  }
  if (n == 0) return costs;
  costs.end_bytes /= n;
  costs.peak_bytes /= n;
  costs.policy_ms /= n;
  return costs;
}

double accuracy_floor(Instrument instrument) {
  switch (instrument) {
    case Instrument::keyed:
    case Instrument::passkey:
    case Instrument::r_number:
      return 0.9;
    case Instrument::copy:
    case Instrument::sentence:
      return 0.8;
    case Instrument::continuation:
      break;
  }
  return 0;
}

bool is_informative(const LineScores& full, Instrument instrument) {
  const std::vector<double> values = by_document(full, instrument, accuracy);
  double sum = 0;
  for (const double value : values) sum += value;
  return values.empty() || sum >= accuracy_floor(instrument) * static_cast<double>(values.size());
}

const char* name_of(Instrument instrument) {
  switch (instrument) {
    case Instrument::keyed:
      return "keyed";
    case Instrument::passkey:
      return "passkey";
    case Instrument::copy:
      return "copy";
    case Instrument::r_number:
      return "r_number";
    case Instrument::sentence:
      return "sentence";
    case Instrument::continuation:
      break;
  }
  return "continuation";
}

size_t n_errors(const EvalReport& report) {
  size_t n = 0;
  for (const LineScores& line : report.scores) {
    for (const DocumentScores& document : line.documents) n += document.error ? 1 : 0;
  }
  return n;
}

}  // namespace tenure
