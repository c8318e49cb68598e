#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "eval/eval_report.h"
#include "session/settings.h"

namespace tenure {
namespace {

constexpr const auto& questions = retrieval_instruments;

struct Figures {
  std::array<InstrumentEstimates, questions.size()> asked;  // in the order of `questions`
  RetrievalEstimates together;
  InstrumentEstimates continuation;
  LineCosts costs;
};

Figures figures_of(const EvalReport& report, size_t i) {
  const LineScores& line = report.scores[i];
  Figures figures{.together = estimate_retrieval(report, i),
                  .continuation = estimate(line, Instrument::continuation, report.seed),
                  .costs = costs_of(line)};
  for (size_t q = 0; q < questions.size(); ++q) figures.asked[q] = estimate(line, questions[q], report.seed);
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
    case Instrument::sentence:
      return "sentence facts";
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
  const std::string logprob = fmt::format("{:.2f}", found.logprob.mean);
  if (instrument == Instrument::copy)
    return fmt::format("{} / {}", with_interval(found.accuracy, 2), logprob);
  if (instrument == Instrument::sentence)
    return fmt::format("{} / {:.2f} / {}", with_interval(found.exact, 2), found.accuracy.mean, logprob);
  return fmt::format("{:.2f} / {} / {}", found.exact.mean, with_interval(found.accuracy, 2), logprob);
}

// What asked_text says, in its order.
const char* legend_of(Instrument instrument) {
  switch (instrument) {
    case Instrument::copy:
      return "tokens right [95 %] / log-probability of a token";
    case Instrument::sentence:
      return "answers right [95 %] / tokens right / log-probability of a token";
    default:
      return "answers right / digits right [95 %] / log-probability of a digit";
  }
}

std::string together_text(const RetrievalEstimates& found) {
  if (found.of_full.n == 0) return "-";
  return fmt::format("{:.3f} ({})", found.accuracy.mean, with_interval(found.of_full, 3));
}

std::string bytes_text(double bytes, double full) {
  return fmt::format("{:.2f} ({:.3f})", bytes / 1048576.0, full > 0 ? bytes / full : 0.0);
}

// Columns that some document has something for.
struct Columns {
  std::array<bool, questions.size()> asked;
  bool together = false;
  bool continuation = false;
};

Columns columns_of(const Figures& full) {
  Columns columns;
  for (size_t i = 0; i < questions.size(); ++i) columns.asked[i] = full.asked[i].accuracy.n > 0;
  columns.together = std::count(columns.asked.begin(), columns.asked.end(), true) > 1;
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
  if (columns.together) cells.emplace_back("all of these (of full)");
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
  const Figures figures = figures_of(report, i);
  std::vector<std::string> cells = {policy_text(line, report.lines.front()),
                                    line.budget.empty() ? "-" : line.budget};
  for (size_t q = 0; q < questions.size(); ++q) {
    if (!columns.asked[q]) continue;
    const std::string text = asked_text(questions[q], figures.asked[q]);
    const bool informative = is_informative(report.scores.front(), questions[q]);
    cells.push_back(informative ? text : i == 0 ? text + ": not informative" : "not informative");
  }
  if (columns.together) cells.push_back(together_text(figures.together));
  if (columns.continuation) {
    cells.push_back(with_interval(figures.continuation.kl, 3));
    cells.push_back(with_interval(figures.continuation.agreement, 2));
    cells.push_back(with_interval(figures.continuation.perplexity, 1));
  }
  cells.push_back(bytes_text(figures.costs.end_bytes, full.costs.end_bytes));
  cells.push_back(bytes_text(figures.costs.peak_bytes, full.costs.peak_bytes));
  cells.push_back(fmt::format("{:.1f}", figures.costs.policy_ms));
  return row(cells);
}

std::string legend(const EvalReport& report, const Columns& columns, const Figures& full) {
  std::string text;
  for (size_t i = 0; i < questions.size(); ++i) {
    if (!columns.asked[i]) continue;
    text += fmt::format("- {}: {}, n = {}; floor {:.1f}\n", title_of(questions[i]), legend_of(questions[i]),
                        full.asked[i].accuracy.n, accuracy_floor(questions[i]));
  }
  if (columns.together) {
    text += fmt::format(
        "- all of these: share of all their tokens that are right (of the full cache's [95 %]), n = {}\n",
        full.together.accuracy.n);
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
  const Figures full = figures_of(report, 0);
  const Columns columns = columns_of(full);
  std::string text = heading(columns);
  for (size_t i = 0; i < report.lines.size(); ++i) text += line_text(report, i, columns, full);
  return text + "\n" + legend(report, columns, full);
}

}  // namespace tenure
