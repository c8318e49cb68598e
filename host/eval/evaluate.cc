#include "eval/evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <span>

#include "error/error.h"
#include "eval/logit_metrics.h"

namespace tenure {
namespace {

// What the full cache expects after a document.
struct Reference {
  std::vector<float> logits;  // (n_answer, n_vocab)
  std::vector<size_t> best;   // (n_answer)
};

// One document under one line.
struct Ask {
  std::shared_ptr<SessionScript> script;
  double kl = 0;  // sums over the tokens of the continuation
  uint32_t n_agreed = 0;
  SessionResult result;
};

std::shared_ptr<SessionScript> script_of(const Document& document, const PolicySettings& settings) {
  auto script = std::make_shared<SessionScript>();
  script->id = document.id;
  script->key = document.key;
  script->policy = &settings;
  script->segments.resize(1 + document.questions.size());
  script->segments[0].ids = document.ids;
  for (size_t i = 0; i < document.questions.size(); ++i) {
    SegmentScript& segment = script->segments[i + 1];
    segment.ids = document.questions[i].lead;
    segment.score = document.questions[i].answer;
    segment.fork = segment.probe = true;
  }
  return script;
}

// The engine's thread answers, the caller waits.
class Answers {
 public:
  explicit Answers(size_t n) : n_left_(n) {}

  void done(Ask& ask, SessionResult&& result) {
    const std::lock_guard lock(mutex_);
    ask.result = std::move(result);
    if (--n_left_ == 0) changed_.notify_all();
  }
  // False when `stop` was set before.
  bool wait(const std::atomic<bool>& stop) {
    std::unique_lock lock(mutex_);
    while (n_left_ > 0 && !stop) changed_.wait_for(lock, std::chrono::milliseconds(50));
    return n_left_ == 0;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t n_left_;
};

// False when `stop` was set before all were answered; the engine has then dropped them.
bool run(Engine& engine, std::vector<Ask>& asks, const std::atomic<bool>& stop) {
  Answers answers(asks.size());
  std::vector<std::unique_ptr<Job>> jobs;
  for (Ask& ask : asks) {
    auto job = std::make_unique<Job>();
    job->script = ask.script;
    job->on_done = [&answers, &ask](SessionResult&& result) { answers.done(ask, std::move(result)); };
    jobs.push_back(std::move(job));
  }
  engine.submit(std::move(jobs));
  if (answers.wait(stop)) return true;
  engine.abandon();
  return false;
}

DocumentScores scores_of(const Document& document, const Ask& ask) {
  const SessionResult& result = ask.result;
  if (result.error && !result.policy_dropped) return {.error = result.error};
  DocumentScores scores{.peak_bytes = result.segments.front().peak_bytes,
                        .end_bytes = result.segments.front().kv_bytes,
                        .policy_ms = std::chrono::duration<double, std::milli>(result.times.policy).count()};
  for (const SegmentResult& segment : result.segments) {
    if (segment.index == 0) continue;
    const Question& question = document.questions[segment.index - 1];
    QuestionScore score{.instrument = question.instrument,
                        .pos = question.pos,
                        .n_tokens = segment.n_scored,
                        .n_correct = segment.n_correct,
                        .logprob = segment.logprob.value_or(0)};
    if (question.instrument == Instrument::continuation) {
      score.kl = ask.kl / segment.n_scored;
      score.agreement = static_cast<double>(ask.n_agreed) / segment.n_scored;
    }
    scores.questions.push_back(score);
  }
  return scores;
}

// The segment that asks for the document's continuation; null when none does.
SegmentScript* continuation_of(const Document& document, SessionScript& script) {
  for (size_t i = 0; i < document.questions.size(); ++i) {
    if (document.questions[i].instrument == Instrument::continuation) return &script.segments[i + 1];
  }
  return nullptr;
}

void remember(SegmentScript& segment, Reference& reference) {
  segment.on_scored = [&reference](uint32_t, std::span<const float> logits) {
    reference.logits.insert(reference.logits.end(), logits.begin(), logits.end());
    reference.best.push_back(top_token(logits));
  };
}

void compare(SegmentScript& segment, const Reference& reference, Ask& ask) {
  segment.on_scored = [&reference, &ask](uint32_t i, std::span<const float> logits) {
    ask.kl += kl_divergence(std::span(reference.logits).subspan(i * logits.size(), logits.size()), logits);
    ask.n_agreed += top_token(logits) == reference.best[i] ? 1 : 0;
  };
}

void run_full(Engine& engine, const Document& document, std::vector<Ask>& asks,
              const std::atomic<bool>& stop) {
  if (!run(engine, asks, stop)) return;
  if (const auto& error = asks.front().result.error) {
    throw Error(error->code == RowCode::memory ? Code::memory_too_small : Code::internal,
                fmt::format("document {} fails under the full cache: {}", document.id, error->message));
  }
}

}  // namespace

std::optional<std::vector<LineScores>> evaluate(Engine& engine, const EvalLine& full,
                                                const std::vector<EvalLine>& lines,
                                                const std::vector<Document>& documents,
                                                const std::atomic<bool>& stop,
                                                const std::function<void(size_t n_done)>& say) {
  std::vector<LineScores> all(1 + lines.size());
  for (const Document& document : documents) {
    // One document at a time: the full cache's logits are n_vocab floats a token.
    Reference reference;
    std::vector<Ask> first(1);
    first[0].script = script_of(document, full.settings);
    if (SegmentScript* segment = continuation_of(document, *first[0].script)) remember(*segment, reference);
    run_full(engine, document, first, stop);
    first[0].n_agreed = static_cast<uint32_t>(reference.best.size());  // with itself
    std::vector<Ask> asks(lines.size());
    for (size_t i = 0; i < lines.size(); ++i) {
      asks[i].script = script_of(document, lines[i].settings);
      if (SegmentScript* segment = continuation_of(document, *asks[i].script))
        compare(*segment, reference, asks[i]);
    }
    if (stop || (!asks.empty() && !run(engine, asks, stop))) return std::nullopt;
    all[0].documents.push_back(scores_of(document, first[0]));
    for (size_t i = 0; i < lines.size(); ++i) all[i + 1].documents.push_back(scores_of(document, asks[i]));
    say(all[0].documents.size());
  }
  return all;
}

}  // namespace tenure
