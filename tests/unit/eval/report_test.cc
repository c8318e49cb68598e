#include "eval/eval_report.h"

#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

namespace tenure::test {
namespace {

QuestionScore answered(Instrument instrument, uint32_t n_correct, uint32_t n_tokens) {
  return {.instrument = instrument,
          .pos = 10,
          .n_tokens = n_tokens,
          .n_correct = n_correct,
          .logprob = -0.5 * n_tokens};
}

QuestionScore followed(double kl, double agreement) {
  QuestionScore score = answered(Instrument::continuation, 32, 64);
  score.kl = kl;
  score.agreement = agreement;
  return score;
}

// Two documents under the full cache and one policy; the full cache copies badly.
EvalReport made_report() {
  EvalReport report{.model_file = "m.gguf",
                    .model_name = "m",
                    .backend = "b",
                    .code_path = "scalar",
                    .text_files = {"t.txt"},
                    .seed = 9,
                    .context = 100};
  report.documents = {{.id = "text-0", .key = 1}, {.id = "text-1", .key = 2}};
  report.lines = {{.policy = "all", .budget = "", .settings = {}},
                  {.policy = "some", .budget = "1/4", .settings = {}}};
  report.scores.resize(2);
  report.scores[0].documents = {
      {.questions = {answered(Instrument::keyed, 7, 7), answered(Instrument::keyed, 6, 7),
                     answered(Instrument::copy, 8, 16), followed(0, 1)},
       .peak_bytes = 4 << 20,
       .end_bytes = 4 << 20},
      {.questions = {answered(Instrument::keyed, 7, 7), answered(Instrument::keyed, 7, 7),
                     answered(Instrument::copy, 16, 16), followed(0, 1)},
       .peak_bytes = 4 << 20,
       .end_bytes = 4 << 20}};
  report.scores[1].documents = {
      {.questions = {answered(Instrument::keyed, 0, 7), answered(Instrument::keyed, 7, 7),
                     answered(Instrument::copy, 2, 16), followed(0.25, 0.5)},
       .peak_bytes = 2 << 20,
       .end_bytes = 1 << 20,
       .policy_ms = 3},
      {.error = RowError{.code = RowCode::bad_plan, .message = "two of slot 3"}}};
  return report;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines(1);
  for (char c : text) c == '\n' ? lines.emplace_back() : lines.back() += c;
  return lines;
}

}  // namespace

TEST_CASE("report - an estimate is the mean of the documents' means") {
  const EvalReport report = made_report();
  const InstrumentEstimates keyed = estimate(report.scores[0], Instrument::keyed, 0);
  CHECK(keyed.exact.n == 2);
  CHECK(keyed.exact.mean == doctest::Approx(0.75));
  CHECK(keyed.accuracy.mean == doctest::Approx((13.0 / 14 + 1) / 2));
  CHECK(keyed.logprob.mean == doctest::Approx(-0.5));
  const InstrumentEstimates text = estimate(report.scores[1], Instrument::continuation, 0);
  CHECK(text.kl.mean == doctest::Approx(0.25));
  CHECK(text.agreement.mean == doctest::Approx(0.5));
  CHECK(text.perplexity.mean == doctest::Approx(std::exp(0.5)));
  CHECK(text.kl.n == 1);  // the failed document says nothing
  CHECK(estimate(report.scores[0], Instrument::passkey, 0).exact.n == 0);
}

TEST_CASE("report - below its floor under the full cache an instrument says nothing about policies") {
  const EvalReport report = made_report();
  CHECK(is_informative(report.scores[0], Instrument::keyed));
  CHECK(!is_informative(report.scores[0], Instrument::copy));
  CHECK(is_informative(report.scores[0], Instrument::continuation));
  const std::vector<std::string> lines = lines_of(eval_table(report));
  CHECK(lines.at(2).find("0.75 [0.50, 1.00] / -0.50: not informative") != std::string::npos);
  CHECK(lines.at(3).find("| not informative |") != std::string::npos);
  CHECK(lines.at(3).find("0.50 / 0.50 [0.50, 0.50] / -0.50") != std::string::npos);
}

TEST_CASE(
    "report - all informative instruments together are measured against the same documents of the full "
    "cache") {
  EvalReport report = made_report();
  // The copies say nothing: 6 + 7 of 14 digits and 7 + 7 of 14 are right in full, of the first document 7
  // under the policy.
  const RetrievalEstimates full = estimate_retrieval(report, 0), some = estimate_retrieval(report, 1);
  CHECK(full.accuracy.mean == doctest::Approx(27.0 / 28));
  CHECK(full.of_full.mean == 1);
  CHECK(some.accuracy.n == 1);
  CHECK(some.accuracy.mean == doctest::Approx(7.0 / 14));
  CHECK(some.of_full.mean == doctest::Approx(7.0 / 13));
  report.scores[0].documents[0].questions.push_back(answered(Instrument::sentence, 2, 2));
  report.scores[1].documents[0].questions.push_back(answered(Instrument::sentence, 1, 2));
  CHECK(estimate_retrieval(report, 1).of_full.mean == doctest::Approx(8.0 / 15));
  const std::vector<std::string> lines = lines_of(eval_table(report));
  CHECK(lines.at(0).find("| random copy | sentence facts | all of these (of full) | KL to full |") !=
        std::string::npos);
  CHECK(lines.at(3).find("| 0.500 (0.533 [0.533, 0.533]) |") != std::string::npos);
}

TEST_CASE("report - the table has a column for each instrument that was asked, and the full cache first") {
  const std::vector<std::string> lines = lines_of(eval_table(made_report()));
  CHECK(lines.at(0).find(
            "| policy | budget | keyed numbers | random copy | all of these (of full) | KL to full |") == 0);
  CHECK(lines.at(0).find("passkey") == std::string::npos);
  for (size_t i = 1; i < 4; ++i)
    CHECK(std::count(lines.at(i).begin(), lines[i].end(), '|') ==
          std::count(lines[0].begin(), lines[0].end(), '|'));
  CHECK(lines.at(2).find("| all | - |") == 0);
  CHECK(lines.at(2).find("| 4.00 (1.000) | 4.00 (1.000) | 0.0 |") != std::string::npos);
  CHECK(lines.at(3).find("| some | 1/4 |") == 0);
  CHECK(lines.at(3).find("| 1.00 (0.250) | 2.00 (0.500) | 3.0 |") != std::string::npos);
  CHECK(lines.at(4).empty());
}

TEST_CASE("report - the JSON has every document's figures and what failed") {
  const EvalReport report = made_report();
  CHECK(n_errors(report) == 1);
  const nlohmann::json json = nlohmann::json::parse(eval_json(report));
  CHECK(json["schema"] == 1);
  CHECK(json["seed"] == 9);
  CHECK(json["documents"][1]["key"] == "2");
  CHECK(json["lines"][0]["instruments"]["copy"]["informative"] == false);
  CHECK(json["lines"][1]["instruments"]["continuation"]["kl"]["mean"] == 0.25);
  CHECK(json["lines"][0]["instruments"]["keyed"]["exact"]["n"] == 2);
  CHECK(json["lines"][1]["documents"][0]["questions"][3]["kl"] == 0.25);
  CHECK(json["lines"][1]["documents"][0]["kv_peak_bytes"] == 2 << 20);
  CHECK(json["lines"][1]["kv_peak_of_full"] == 0.5);
  CHECK(json["lines"][1]["kv_end_of_full"] == 0.25);
  CHECK(json["lines"][1]["retrieval"]["of_full"]["mean"].get<double>() == doctest::Approx(7.0 / 13));
  CHECK(json["lines"][1]["documents"][1]["error"]["code"] == "bad_plan");
  CHECK(!json["lines"][1]["documents"][1].contains("questions"));
}

}  // namespace tenure::test
