#include "eval/evaluate.h"

#include "error/error.h"
#include "eval/suite.h"
#include "unit/engine/tiny_engine.h"
#include "unit/eval/made_text.h"

namespace tenure::test {
namespace {

constexpr uint32_t context = 384;
const std::atomic<bool> never{false};

struct Bench {
  TinyHost host;
  Engine engine{host.model(), host.backend(), host.language().tokenizer(),
                engine_config(uint64_t{64} << 20, 256)};
  std::vector<Document> documents = suite_documents(
      DocumentMaker(host.language().tokenizer(), made_text(60), {.seed = 1, .context = context}), Suite::all,
      {.n_text = 2});

  EvalLine line(const std::string& id, uint32_t budget = 0) {
    PolicySettings& settings = host.policy(id);
    if (budget > 0) settings.budget = slots(budget);
    settings.chunk = 64;
    return {.policy = id, .budget = std::to_string(budget), .settings = settings};
  }
  std::vector<LineScores> run(const std::vector<EvalLine>& lines) {
    auto scores = evaluate(engine, line("full"), lines, documents, never, [](size_t) {});
    REQUIRE(scores);
    return *scores;
  }
};

const QuestionScore& continuation(const DocumentScores& document) {
  return document.questions.back();
}

}  // namespace

TEST_CASE("evaluate - each question is scored as if it were asked alone") {
  Bench bench;
  const std::vector<LineScores> scores = bench.run({});
  REQUIRE(scores.size() == 1);
  REQUIRE(scores[0].documents.size() == bench.documents.size());
  for (size_t d = 0; d < bench.documents.size(); ++d) {
    const Document& document = bench.documents[d];
    const DocumentScores& found = scores[0].documents[d];
    REQUIRE(found.questions.size() == document.questions.size());
    for (size_t q = 0; q < document.questions.size(); ++q) {
      const Question& question = document.questions[q];
      auto alone = script_of(bench.line("full").settings, "alone", 1, 0);
      const EvalLine full = bench.line("full");
      alone->policy = &full.settings;
      SegmentScript& segment = alone->segments.at(0);
      segment.ids = document.ids;
      segment.ids.insert(segment.ids.end(), question.lead.begin(), question.lead.end());
      segment.score = question.answer;
      const SessionResult result = run_alone(bench.host, engine_config(), alone);
      REQUIRE(!result.error);
      CHECK(found.questions[q].instrument == question.instrument);
      CHECK(found.questions[q].pos == question.pos);
      CHECK(found.questions[q].n_tokens == question.answer.size());
      CHECK(found.questions[q].n_correct == result.segments[0].n_correct);
      CHECK(found.questions[q].logprob == doctest::Approx(*result.segments[0].logprob).epsilon(1e-6));
    }
  }
}

TEST_CASE("evaluate - a budget that holds everything costs nothing, a small one does") {
  Bench bench;
  const std::vector<LineScores> scores =
      bench.run({bench.line("full"), bench.line("h2o", context), bench.line("h2o", 48)});
  REQUIRE(scores.size() == 4);
  const DocumentScores& full = scores[0].documents[0];
  CHECK(continuation(full).kl == 0);
  CHECK(continuation(full).agreement == 1);
  for (size_t same : {1, 2}) {
    for (size_t d = 0; d < bench.documents.size(); ++d) {
      REQUIRE(!scores[same].documents[d].error);
      for (size_t q = 0; q < bench.documents[d].questions.size(); ++q) {
        CHECK(scores[same].documents[d].questions[q].logprob == scores[0].documents[d].questions[q].logprob);
      }
    }
    CHECK(continuation(scores[same].documents[0]).kl == 0);
    CHECK(continuation(scores[same].documents[0]).agreement == 1);
    CHECK(scores[same].documents[0].end_bytes == full.end_bytes);
  }
  const DocumentScores& small = scores[3].documents[0];
  REQUIRE(!small.error);
  CHECK(*continuation(small).kl > 0.0);
  CHECK(continuation(small).logprob != continuation(full).logprob);
  CHECK(small.end_bytes < full.end_bytes / 4);
  CHECK(small.peak_bytes > small.end_bytes);
  CHECK(small.peak_bytes < full.peak_bytes);
  CHECK(small.policy_ms > 0);
}

TEST_CASE("evaluate - a policy that fails is an error of its documents, not of the others") {
  Bench bench;
  EvalLine faulty{.policy = "faulty",
                  .budget = "48",
                  .settings = bench.host.policy("faulty", {{"fault", std::string("fail_select")}})};
  faulty.settings.budget = slots(48);
  const std::vector<LineScores> scores = bench.run({faulty, bench.line("h2o", 48)});
  CHECK(scores[1].documents[0].error);
  CHECK(scores[1].documents[0].questions.empty());
  CHECK(!scores[2].documents[0].error);
}

TEST_CASE("evaluate - what does not fit under the full cache is an error that names the document") {
  Bench bench;
  Engine tight(bench.host.model(), bench.host.backend(), bench.host.language().tokenizer(),
               engine_config(1 << 14, 64));
  CHECK_THROWS_WITH_AS(evaluate(tight, bench.line("full"), {}, bench.documents, never, [](size_t) {}),
                       doctest::Contains("document text-0 fails under the full cache"), Error);
}

TEST_CASE("evaluate - stops when it is told to") {
  Bench bench;
  const std::atomic<bool> stopped{true};
  CHECK(!evaluate(bench.engine, bench.line("full"), {}, bench.documents, stopped, [](size_t) {}));
}

}  // namespace tenure::test
