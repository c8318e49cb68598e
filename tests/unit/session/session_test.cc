// A session's way through its script: what it feeds, where it decides, how it ends.
#include "session/session.h"

#include <algorithm>
#include <cmath>

#include "unit/session/session_driver.h"

namespace tenure::test {
namespace {

using Ids = std::vector<int32_t>;

TinyHost& host() {
  static TinyHost tiny;
  return tiny;
}

SegmentScript text(Ids ids) {
  return {.ids = std::move(ids), .generate = 0, .score = {}, .fork = false, .label = "", .answers = {}};
}
SegmentScript answer(Ids ids, uint32_t n) {
  SegmentScript segment = text(std::move(ids));
  segment.generate = n;
  return segment;
}
SegmentScript scored(Ids ids, Ids score) {
  SegmentScript segment = text(std::move(ids));
  segment.score = std::move(score);
  return segment;
}
SegmentScript forked(SegmentScript segment) {
  segment.fork = true;
  return segment;
}

SessionScript script_of(const PolicySettings& policy, std::vector<SegmentScript> segments) {
  SessionScript script;
  script.id = "s";
  script.policy = &policy;
  script.ignore_eos = true;
  script.segments = std::move(segments);
  return script;
}

Ids fed(const SeenRun& run) {
  Ids ids;
  for (const SeenStep& step : run.steps) ids.insert(ids.end(), step.ids.begin(), step.ids.end());
  return ids;
}

Ids joined(std::initializer_list<Ids> parts) {
  Ids all;
  for (const Ids& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

std::vector<uint32_t> chunks(const SeenRun& run) {
  std::vector<uint32_t> rows;
  for (const SeenStep& step : run.steps) {
    if (!step.decode) rows.push_back(step.n_rows);
  }
  return rows;
}

PolicySettings& bounded(const std::string& id, uint32_t budget, uint32_t chunk) {
  PolicySettings& policy = host().policy(id);
  policy.budget = slots(budget);
  policy.chunk = chunk;
  return policy;
}

}  // namespace

TEST_CASE("session - an answer's last token is not fed at the end, and is where more follows") {
  const PolicySettings& full = host().policy("full");
  const Ids prompt = some_ids(9, 1);
  const SeenRun once = drive(host(), script_of(full, {answer(prompt, 4)}));
  const Ids first = once.result.segments.at(0).tokens;
  REQUIRE(first.size() == 4);
  CHECK(once.result.segments[0].finish == Finish::length);
  CHECK(fed(once) == joined({prompt, {first[0], first[1], first[2]}}));
  const Ids more = some_ids(3, 2);
  const SeenRun twice = drive(host(), script_of(full, {answer(prompt, 4), answer(more, 2)}));
  CHECK(twice.result.segments.at(0).tokens == first);
  CHECK(fed(twice) == joined({prompt, first, more, {twice.result.segments.at(1).tokens[0]}}));
  CHECK(twice.result.n_fed == fed(twice).size());
  CHECK(twice.result.n_generated == 6);
}

TEST_CASE("session - a text's last token is held back for a segment without text") {
  const PolicySettings& full = host().policy("full");
  const Ids prompt = some_ids(9, 1);
  const SeenRun split = drive(host(), script_of(full, {text(prompt), answer({}, 4)}));
  const SeenRun whole = drive(host(), script_of(full, {answer(prompt, 4)}));
  CHECK(split.result.segments.at(1).tokens == whole.result.segments.at(0).tokens);
  CHECK(fed(split) == fed(whole));
  CHECK(chunks(split) == std::vector<uint32_t>{8, 1});
  const SeenRun single = drive(host(), script_of(full, {text({prompt[0]}), answer({}, 2)}));
  CHECK(single.result.segments.size() == 2);
  CHECK(fed(single).front() == prompt[0]);
}

TEST_CASE("session - what asks for something with nothing before it is a bad request") {
  const PolicySettings& full = host().policy("full");
  for (const SegmentScript& segment : {answer({}, 3), scored({}, {30})}) {
    const SeenRun run = drive(host(), script_of(full, {segment}));
    REQUIRE(run.result.error);
    CHECK(run.result.error->code == RowCode::bad_request);
  }
}

TEST_CASE("session - forks see the trunk before them and leave nothing behind") {
  const PolicySettings& full = host().policy("full");
  const Ids prompt = some_ids(30, 1), a = some_ids(4, 2), b = some_ids(5, 3), end = some_ids(6, 4);
  const SeenRun forks = drive(
      host(), script_of(full, {text(prompt), forked(answer(a, 5)), forked(answer(b, 5)), answer(end, 5)}));
  const auto alone = [&](const Ids& question) {
    return drive(host(), script_of(full, {answer(joined({prompt, question}), 5)}))
        .result.segments.at(0)
        .tokens;
  };
  REQUIRE(forks.result.segments.size() == 4);
  CHECK(forks.result.segments[1].tokens == alone(a));
  CHECK(forks.result.segments[2].tokens == alone(b));
  CHECK(forks.result.segments[3].tokens == alone(end));
  CHECK(forks.account.bytes == 0);
}

TEST_CASE("session - forks start with the trunk's pending token, each") {
  const PolicySettings& full = host().policy("full");
  const Ids prompt = some_ids(12, 1), a = some_ids(3, 2), end = some_ids(2, 4);
  const SeenRun run = drive(host(), script_of(full, {answer(prompt, 2), forked(answer(a, 1)),
                                                     forked(answer({}, 2)), answer(end, 1)}));
  const Ids first = run.result.segments.at(0).tokens;
  REQUIRE(run.steps.size() == 6);
  CHECK(run.steps[2].ids == joined({{first[1]}, a}));
  CHECK(run.steps[3].ids == Ids{first[1]});
  CHECK(run.steps[5].ids == joined({{first[1]}, end}));
}

TEST_CASE("session - scored tokens are fed teacher-forced, and judged by the rows before them") {
  const PolicySettings& full = host().policy("full");
  const Ids prompt = some_ids(10, 5);
  const SeenRun said = drive(host(), script_of(full, {answer(prompt, 6)}));
  const Ids right = said.result.segments.at(0).tokens;
  const SeenRun run = drive(host(), script_of(full, {scored(prompt, right)}));
  const SegmentResult& segment = run.result.segments.at(0);
  CHECK(segment.n_scored == 6);
  CHECK(segment.n_correct == 6);
  CHECK(segment.logprob.value() == doctest::Approx(said.result.segments[0].logprob.value()).epsilon(1e-4));
  CHECK(fed(run) == joined({prompt, Ids(right.begin(), right.end() - 1)}));
  Ids wrong = right;
  wrong[3] = right[3] == 40 ? 41 : 40;
  const SeenRun other = drive(host(), script_of(full, {scored(prompt, wrong), text({50})}));
  CHECK(other.result.segments.at(0).n_correct <= 5);
  CHECK(*other.result.segments[0].logprob < *segment.logprob);
  CHECK(fed(other) == joined({prompt, wrong, {50}}));  // the last one too, now that something follows
}

TEST_CASE("session - chunks end at multiples from each segment's start, however forwards cut them") {
  PolicySettings& policy = bounded("streaming_llm", 64, 32);
  const SessionScript script =
      script_of(policy, {text(some_ids(80, 1)), scored(some_ids(50, 2), some_ids(40, 3))});
  const SeenRun whole = drive(host(), script);
  CHECK(chunks(whole) == std::vector<uint32_t>{32, 32, 16, 32, 18, 32, 7});
  std::vector<bool> last;
  for (const SeenStep& step : whole.steps) {
    REQUIRE(step.decision);
    CHECK(step.decision->phase == TENURE_PHASE_CHUNK);
    CHECK(step.n_slots <= 64);
    last.push_back(step.decision->last_chunk);
  }
  CHECK(last == std::vector<bool>{false, false, true, false, true, false, true});
  const SeenRun cut = drive(host(), script, 13);
  CHECK(chunks(cut) == std::vector<uint32_t>{13, 13, 6, 13, 13, 6, 13, 3, 13, 13, 6, 13, 5, 13, 13, 6, 7});
  for (const SeenStep& step : cut.steps) {
    if (step.n_rows == 13) CHECK_FALSE(step.decision);
  }
  CHECK(*cut.result.segments.at(1).logprob ==
        doctest::Approx(*whole.result.segments.at(1).logprob).epsilon(1e-4));
}

TEST_CASE("session - decisions come in the phases that the pipeline names") {
  PolicySettings& policy = bounded("streaming_llm", 40, 32);
  const auto sizes = [&](uint32_t when, uint32_t period, uint32_t slack) {
    policy.when = when;
    policy.period = period;
    policy.slack = slack;
    std::vector<uint64_t> seen;
    for (const SeenStep& step : drive(host(), script_of(policy, {answer(some_ids(96, 1), 12)})).steps)
      seen.push_back(step.n_slots);
    return seen;
  };
  using Sizes = std::vector<uint64_t>;
  CHECK(sizes(TENURE_PHASE_CHUNK | TENURE_PHASE_DECODE, 1, 0) ==
        Sizes{32, 40, 40, 40, 40, 40, 40, 40, 40, 40, 40, 40, 40, 41});
  CHECK(sizes(TENURE_PHASE_CHUNK, 1, 0) == Sizes{32, 40, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51});
  CHECK(sizes(TENURE_PHASE_DECODE, 1, 0) == Sizes{32, 64, 96, 40, 40, 40, 40, 40, 40, 40, 40, 40, 40, 41});
  CHECK(sizes(TENURE_PHASE_PREFILL_END, 1, 0) ==
        Sizes{32, 64, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51});
  CHECK(sizes(TENURE_PHASE_CHUNK | TENURE_PHASE_DECODE, 4, 0) ==
        Sizes{32, 40, 40, 41, 42, 43, 40, 41, 42, 43, 40, 41, 42, 43});
  CHECK(sizes(TENURE_PHASE_CHUNK | TENURE_PHASE_DECODE, 1, 3) ==
        Sizes{32, 40, 40, 41, 42, 43, 40, 41, 42, 43, 40, 41, 42, 43});
}

TEST_CASE("session - a policy's failure ends the request, or goes on with the full cache") {
  PolicySettings& policy = host().policy("faulty", {{"fault", std::string("fail_select")}});
  policy.budget = slots(24);
  policy.chunk = 32;
  const SessionScript script = script_of(policy, {answer(some_ids(80, 1), 5)});
  const SeenRun failed = drive(host(), script);
  REQUIRE(failed.result.error);
  CHECK(failed.result.error->code == RowCode::plugin_error);
  CHECK(failed.result.error->plugin == "faulty");
  CHECK_FALSE(failed.result.policy_dropped);
  policy.full_on_error = true;
  const SeenRun full = drive(host(), script);
  CHECK(full.result.policy_dropped);
  REQUIRE(full.result.error);
  const PolicySettings& plain = host().policy("full");
  const SeenRun expected = drive(host(), script_of(plain, {answer(some_ids(80, 1), 5)}));
  CHECK(full.result.segments.at(0).tokens == expected.result.segments.at(0).tokens);
  CHECK(full.result.released == 0);
}

TEST_CASE("session - a fork whose policy was dropped does not stop the trunk's") {
  PolicySettings& policy =
      host().policy("faulty", {{"fault", std::string("fail_select")}, {"after_tokens", int64_t{100}}});
  policy.budget = slots(24);
  policy.chunk = 32;
  policy.full_on_error = true;
  // The fork comes past 100 tokens, the trunk does not.
  const SeenRun run = drive(
      host(),
      script_of(policy, {text(some_ids(60, 1)), forked(answer(some_ids(60, 2), 3)), text(some_ids(30, 3))}));
  CHECK(run.result.policy_dropped);
  CHECK(run.steps.back().n_slots == 24);
}

TEST_CASE(
    "session - rebuilt rows come with the chunk that asked, live while they are named, and go with the "
    "turn") {
  PolicySettings& policy = host().policy("rebuild_test", {{"first", int64_t{0}}, {"n", int64_t{20}}});
  policy.budget = slots(24);
  policy.chunk = 32;
  const SeenRun run = drive(
      host(), script_of(policy, {text(some_ids(64, 1)), answer(some_ids(32, 2), 4), text(some_ids(5, 3))}));
  REQUIRE_FALSE(run.result.error);
  REQUIRE(run.steps.size() == 7);
  CHECK(run.steps[0].n_rebuilt == 0);
  CHECK(run.steps[1].n_rebuilt == 8);   // positions 0 to 7 were released by the first chunk
  CHECK(run.steps[2].n_rebuilt == 12);  // eight were there still
  CHECK(run.steps[2].n_slots == 24 + 20);
  for (size_t i = 3; i < 6; ++i) CHECK(run.steps[i].n_rebuilt == 0);  // named again: nothing to compute
  CHECK(run.steps[6].n_rebuilt == 20);                                // the turn had ended
  CHECK(run.result.rebuild_rows == 40);
}

TEST_CASE("session - no decision falls in a probe, and the trunk does not notice it") {
  const PolicySettings& policy = bounded("h2o", 24, 16);
  const Ids prompt = some_ids(80, 1), question = some_ids(40, 2), reply = some_ids(6, 3);
  SegmentScript probe = forked(scored(question, reply));
  const auto run_with = [&](bool is_probe) {
    probe.probe = is_probe;
    return drive(host(), script_of(policy, {text(prompt), probe, answer(question, 4)}));
  };
  const SeenRun fork = run_with(false), probed = run_with(true);
  const auto decided = [](const SeenRun& run, size_t begin, size_t end) {
    return std::count_if(run.steps.begin() + static_cast<ptrdiff_t>(begin), run.steps.begin() + static_cast<ptrdiff_t>(end),
                         [](const SeenStep& step) { return step.decision.has_value(); });
  };
  // 80 tokens are 5 chunks; 40 and the 5 that are fed of the reply are 4 more.
  REQUIRE(fork.steps.size() == probed.steps.size());
  CHECK(decided(fork, 5, 9) == 4);
  CHECK(decided(probed, 5, 9) == 0);
  CHECK(probed.steps[8].n_slots == 24 + 45);
  CHECK(probed.result.segments.at(1).released == 0);
  CHECK(probed.result.segments[1].logprob != fork.result.segments.at(1).logprob);
  CHECK(probed.result.segments.at(2).tokens == fork.result.segments.at(2).tokens);
}

TEST_CASE("session - in a probe the question may ask for rebuilt rows, the answer may not") {
  constexpr int32_t trigger = 18;  // in no some_ids()
  const Ids prompt = some_ids(64, 1), plain = some_ids(10, 2);
  const auto n_rebuilt = [&](bool is_probe, const Ids& question, const Ids& reply) {
    PolicySettings& policy =
        host().policy("rebuild_test", {{"first", int64_t{0}}, {"n", int64_t{20}}, {"trigger", int64_t{trigger}}});
    policy.budget = slots(24);
    policy.chunk = 32;
    SegmentScript fork = forked(scored(question, reply));
    fork.probe = is_probe;
    const SeenRun run = drive(host(), script_of(policy, {text(prompt), fork}));
    REQUIRE(run.steps.size() == 4);  // two chunks, the question, the answer
    CHECK(run.steps[3].n_slots == (is_probe ? 24 + run.result.rebuild_rows + 10 + 9 : run.steps[3].n_slots));
    return std::pair(run.steps[2].n_rebuilt, run.steps[3].n_rebuilt);
  };
  const Ids asking = joined({{trigger}, some_ids(9, 3)});
  CHECK(n_rebuilt(true, asking, plain) == std::pair(20u, 0u));
  CHECK(n_rebuilt(true, plain, asking) == std::pair(0u, 0u));
  CHECK(n_rebuilt(false, plain, asking) == std::pair(0u, 20u));
}

TEST_CASE("session - who listens gets the logits of every scored token, however a chunk is cut") {
  const PolicySettings& full = host().policy("full");
  const Ids prompt = some_ids(30, 1), reply = some_ids(9, 3);
  for (uint32_t max_rows : {512u, 7u, 1u}) {
    CAPTURE(max_rows);
    SegmentScript segment = scored(prompt, reply);
    double logprob = 0;
    uint32_t n_seen = 0;
    segment.on_scored = [&](uint32_t i, std::span<const float> logits) {
      CHECK(i == n_seen++);
      REQUIRE(logits.size() == host().config().n_vocab);
      double sum = 0;
      for (float logit : logits) sum += std::exp(static_cast<double>(logit));
      logprob += logits[static_cast<size_t>(reply.at(i))] - std::log(sum);
    };
    const SeenRun run = drive(host(), script_of(full, {segment}), max_rows);
    CHECK(n_seen == reply.size());
    CHECK(run.result.segments.at(0).logprob.value() == doctest::Approx(logprob).epsilon(1e-5));
  }
}

TEST_CASE("session - a curve has at most its points, evenly thinned") {
  const PolicySettings& full = host().policy("full");
  const SeenRun run = drive(host(), script_of(full, {answer(some_ids(4, 1), 400)}));
  const auto& curve = run.result.curve;
  REQUIRE(curve.size() <= max_kv_curve);
  CHECK(curve.size() > max_kv_curve / 4);
  for (size_t i = 2; i < curve.size(); ++i) {
    CHECK(curve[i].fed_tokens > curve[i - 1].fed_tokens);
    CHECK(curve[i].bytes >= curve[i - 1].bytes);
  }
}

TEST_CASE("session - an answer ends with the end of generation, with a stop string, or with its length") {
  const PolicySettings& full = host().policy("full");
  SessionScript script = script_of(full, {answer(some_ids(10, 5), 12)});
  std::string streamed;
  script.on_text = [&](const std::string& piece) { streamed += piece; };
  const SeenRun whole = drive(host(), script);
  const SegmentResult& segment = whole.result.segments.at(0);
  CHECK(segment.finish == Finish::length);
  CHECK(streamed == segment.text);
  CHECK(segment.text == host().language().tokenizer().detokenize(segment.tokens));
  for (int32_t token : segment.tokens) {  // a stop string of whole characters, not the first thing said
    const std::string_view bytes = host().language().tokenizer().bytes(token);
    const bool ascii = std::all_of(bytes.begin(), bytes.end(), [](char c) { return c > ' ' && c < 127; });
    if (!bytes.empty() && ascii && segment.text.find(bytes) > 0) script.stop = {std::string(bytes)};
  }
  REQUIRE(script.stop.size() == 1);
  streamed.clear();
  const SeenRun stopped = drive(host(), script);
  CHECK(stopped.result.segments.at(0).finish == Finish::stop);
  CHECK(stopped.result.segments[0].text == segment.text.substr(0, segment.text.find(script.stop[0])));
  CHECK(streamed == stopped.result.segments[0].text);
}

TEST_CASE(
    "session - an end-of-generation token is no part of the answer, and fed only where no text follows") {
  const PolicySettings& full = host().policy("full");
  SessionScript script = script_of(full, {answer(some_ids(10, 5), 300)});
  script.ignore_eos = false;
  script.sampling.temperature = 1.5f;
  SeenRun run;
  for (script.key = 1; script.key < 40; ++script.key) {
    run = drive(host(), script);
    if (run.result.segments.at(0).finish == Finish::eos && run.result.segments[0].tokens.size() > 2) break;
  }
  const SegmentResult first = run.result.segments.at(0);
  REQUIRE(first.finish == Finish::eos);
  for (int32_t token : first.tokens) CHECK_FALSE(host().language().tokenizer().is_end_of_generation(token));
  CHECK(fed(run) == joined({script.segments[0].ids, first.tokens}));
  script.segments.push_back(text({60, 61}));
  CHECK(fed(drive(host(), script)) == joined({script.segments[0].ids, first.tokens, {60, 61}}));
  script.segments[1] = scored({}, {62});
  const Ids with_end = fed(drive(host(), script));
  REQUIRE(with_end.size() == 10 + first.tokens.size() + 1);
  CHECK(host().language().tokenizer().is_end_of_generation(with_end.back()));
}

}  // namespace tenure::test
