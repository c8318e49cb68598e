#include <fmt/format.h>

#include <array>

#include "eval/eval_report.h"
#include "session/settings.h"

namespace tenure {
namespace {

constexpr std::array questions = {Instrument::keyed, Instrument::passkey, Instrument::copy,
                                  Instrument::r_number};

struct Figures {
  std::array<InstrumentEstimates, questions.size()> asked;  // in the order of `questions`
  InstrumentEstimates continuation;
  double end_bytes = 0, peak_bytes = 0, policy_ms = 0;  // means
};

Figures figures_of(const LineScores& line, uint64_t seed) {
  Figures figures{.continuation = estimate(line, Instrument::continuation, seed)};
  for (size_t i = 0; i < questions.size(); ++i) figures.asked[i] = estimate(line, questions[i], seed);
  double n = 0;
  for (const DocumentScores& document : line.documents) {
    if (document.error) continue;
    ++n;
    figures.end_bytes += static_cast<double>(document.end_bytes);
    figures.peak_bytes += static_cast<double>(document.peak_bytes);
    figures.policy_ms += document.policy_ms;
  }
  if (n == 0) return figures;
  figures.end_bytes /= n;
  figures.peak_bytes /= n;
  figures.policy_ms /= n;
  return figures;
}

const char* title_of(Instrument instrument) {
  switch (instrument) {
    case Instrument::keyed:
      return "keyed numbers";
    case Instrument::passkey:
      return "passkey";
    case Instrument::copy:
      return "random copy";
    case Instrument::r_number:
      return "R.Number";
    case Instrument::continuation:
      break;
  }
  return "text";
}

std::string with_interval(const Estimate& estimate, int digits) {
  return fmt::format("{:.{}f} [{:.{}f}, {:.{}f}]", estimate.mean, digits, estimate.low, digits, estimate.high,
                     digits);
}

std::string asked_text(Instrument instrument, const InstrumentEstimates& found) {
  if (found.accuracy.n == 0) return "-";
  const std::string tail = fmt::format("{} / {:.2f}", with_interval(found.accuracy, 2), found.logprob.mean);
  return instrument == Instrument::copy ? tail : fmt::format("{:.2f} / {}", found.exact.mean, tail);
}

std::string bytes_text(double bytes, double full) {
  return fmt::format("{:.2f} ({:.3f})", bytes / 1048576.0, full > 0 ? bytes / full : 0.0);
}

// Columns that some document has something for.
struct Columns {
  std::array<bool, questions.size()> asked;
  bool continuation = false;
};

Columns columns_of(const Figures& full) {
  Columns columns;
  for (size_t i = 0; i < questions.size(); ++i) columns.asked[i] = full.asked[i].accuracy.n > 0;
  columns.continuation = full.continuation.kl.n > 0;
  return columns;
}

std::string row(const std::vector<std::string>& cells) {
  std::string text = "|";
  for (const std::string& cell : cells) text += " " + cell + " |";
  return text + "\n";
}

std::string heading(const Columns& columns) {
  std::vector<std::string> cells = {"policy", "budget"};
  for (size_t i = 0; i < questions.size(); ++i) {
    if (columns.asked[i]) cells.emplace_back(title_of(questions[i]));
  }
  if (columns.continuation) cells.insert(cells.end(), {"KL to full", "same top token", "perplexity"});
  cells.insert(cells.end(), {"KV MiB (of full)", "peak MiB (of full)", "policy ms"});
  std::string rule = "|";
  for (size_t i = 0; i < cells.size(); ++i) rule += "---|";
  return row(cells) + rule + "\n";
}

// Where they are not the first line's, a line is told by its element types too.
std::string policy_text(const EvalLine& line, const EvalLine& full) {
  const PolicySettings& mine = line.settings;
  if (mine.k_type == full.settings.k_type && mine.v_type == full.settings.v_type) return line.policy;
  if (mine.k_type == mine.v_type) return fmt::format("{}, KV {}", line.policy, name_of(mine.k_type));
  return fmt::format("{}, K {}, V {}", line.policy, name_of(mine.k_type), name_of(mine.v_type));
}

std::string line_text(const EvalReport& report, size_t i, const Columns& columns, const Figures& full) {
  const EvalLine& line = report.lines[i];
  const Figures figures = figures_of(report.scores[i], report.seed);
  std::vector<std::string> cells = {policy_text(line, report.lines.front()),
                                    line.budget.empty() ? "-" : line.budget};
  for (size_t q = 0; q < questions.size(); ++q) {
    if (!columns.asked[q]) continue;
    const std::string text = asked_text(questions[q], figures.asked[q]);
    const bool informative = is_informative(report.scores.front(), questions[q]);
    cells.push_back(informative ? text : i == 0 ? text + ": not informative" : "not informative");
  }
  if (columns.continuation) {
    cells.push_back(with_interval(figures.continuation.kl, 3));
    cells.push_back(with_interval(figures.continuation.agreement, 2));
    cells.push_back(with_interval(figures.continuation.perplexity, 1));
  }
  cells.push_back(bytes_text(figures.end_bytes, full.end_bytes));
  cells.push_back(bytes_text(figures.peak_bytes, full.peak_bytes));
  cells.push_back(fmt::format("{:.1f}", figures.policy_ms));
  return row(cells);
}

std::string legend(const EvalReport& report, const Columns& columns, const Figures& full) {
  std::string text;
  for (size_t i = 0; i < questions.size(); ++i) {
    if (!columns.asked[i]) continue;
    text += fmt::format("- {}: {}, n = {}; floor {:.1f}\n", title_of(questions[i]),
                        questions[i] == Instrument::copy
                            ? "tokens right [95 %] / log-probability of a token"
                            : "answers right / digits right [95 %] / log-probability of a digit",
                        full.asked[i].accuracy.n, accuracy_floor(questions[i]));
  }
  if (columns.continuation) {
    text +=
        fmt::format("- KL, same top token, perplexity: of the text that follows a document, [95 %], n = {}\n",
                    full.continuation.kl.n);
  }
  return text + fmt::format("- n counts documents of {} tokens; seed {}; KV is a document's once it is fed\n",
                            report.context, report.seed);
}

}  // namespace

std::string eval_table(const EvalReport& report) {
  const Figures full = figures_of(report.scores.front(), report.seed);
  const Columns columns = columns_of(full);
  std::string text = heading(columns);
  for (size_t i = 0; i < report.lines.size(); ++i) text += line_text(report, i, columns, full);
  return text + "\n" + legend(report, columns, full);
}

}  // namespace tenure
