// What one request makes a session do, in token ids: everything that text, templates and the tokenizer decide is decided
// here, before the engine sees it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "record/alert.h"
#include "record/row.h"
#include "sampler/sampler.h"
#include "session/settings.h"

namespace tenure {

// Fed in order into one cache. What came before is compressed before the next segment is seen.
struct SegmentScript {
  std::vector<int32_t> ids;      // fed first
  uint32_t generate = 0;         // then at most so many tokens are generated
  std::vector<int32_t> score;    // or these are fed teacher-forced
  // The scored tokens stand for an answer of at most so many: they count as generated, not as fed. 0 = they do not.
  uint32_t in_place_of = 0;
  bool fork = false;             // afterwards the sequence is as before this segment
  // A fork that finds out what the cache holds: nothing is released in it, and what is scored asks for no rebuild.
  bool probe = false;
  std::string label;
  std::vector<std::string> answers;
  // Engine's thread, with the logits (n_vocab) that scored token `i` came out of, in order; must be quick. Optional.
  std::function<void(uint32_t i, std::span<const float> logits)> on_scored;
};

struct SessionScript {
  std::string id;
  std::string cell;
  uint32_t sample = 0;
  uint64_t seed = 0;  // as the user gave it
  uint64_t key = 0;   // seed_key(seed, id, cell, sample)
  const PolicySettings* policy = nullptr;
  SamplerConfig sampling;
  std::vector<std::string> stop;
  bool ignore_eos = false;
  std::vector<SegmentScript> segments;
  std::chrono::nanoseconds time_limit{0};  // 0 = none
  // Engine's thread, with each piece of text as it becomes certain; must be quick. Optional.
  std::function<void(const std::string& text)> on_text;
  // Engine's thread, after each forward that the session, or a fork of it, was part of. Optional.
  std::function<void(const StepFigures& step)> on_step;

  // Engine's thread, with the logits (n_vocab) that each generated token was chosen from, in order; of scored ones a
  // segment's on_scored hears. Whole rows cost time and memory. Optional.
  std::function<void(std::span<const float> logits)> on_logits;

  // The longest the sequence can get: the trunk and its longest fork. n_fed without what is generated.
  uint64_t n_fed() const;
  uint64_t n_total() const;
};

}  // namespace tenure
