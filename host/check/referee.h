// Watches one policy while the engine runs it: which rules its verdicts break, what it decided for which
// history, what its hooks took from the heap. Engine's thread while sequences run; anybody's between runs.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "check/watched_keepset.h"
#include "plugin/policy.h"

namespace tenure {

struct Breach {
  Rule rule;
  std::string text;
};

// One call of a hook for one sequence. The tokens fed so far name the sequence, so that it is found again in
// another run.
struct Occasion {
  uint64_t history = 0;  // digest of the token ids
  uint32_t n_tokens = 0;
  uint32_t layer = 0;
  uint8_t hook = 0;
  friend auto operator<=>(const Occasion&, const Occasion&) = default;
};

// What was held on an occasion and what the policy said, as a digest.
using Trace = std::map<Occasion, uint64_t>;

// The first occasion of `some` that `all` lacks or where they differ.
std::optional<Occasion> first_difference(const Trace& some, const Trace& all);
std::string to_text(const Occasion&);

class Referee : public PolicyWatch {
 public:
  // note_hook is told each hook before it is called and nullptr after: who dies of it leaves its name.
  Referee(const PolicyNeeds& needs, uint32_t max_rebuild_rows, std::function<void(const char*)> note_hook);

  // ---- what to do; between runs ----

  // Of sequences that begin with the token `first_id`: once, when more than after_tokens were fed, this value
  // takes the place of a number in every array of the evidence.
  struct Spoiler {
    int32_t first_id = -1;
    uint32_t after_tokens = 0;
    float value = 0;
  };
  void spoil(const Spoiler& spoiler);
  void keep_trace(bool yes) { keeps_trace_ = yes; }
  // Since the last time.
  Trace take_trace() { return std::exchange(trace_, {}); }

  // ---- what was seen ----

  const std::vector<Breach>& breaches() const { return breaches_; }
  uint64_t n_decisions() const { return n_selects_ + n_scored_; }
  bool was_unsupported() const { return unsupported_; }
  // Something not finite stayed in the state or the scores of a sequence whose evidence was spoilt.
  const std::optional<std::string>& poison() const { return poison_; }
  bool has_spoilt() const { return n_spoilt_ > 0; }
  // Bytes that hooks took from the heap and did not give back, at the first call after so many tokens, and
  // now.
  int64_t heap_bytes() const { return heap_bytes_; }
  std::optional<int64_t> heap_bytes_at(uint32_t n_tokens) const;
  void measure_heap(bool yes) { measures_heap_ = yes; }
  // Sorted positions that each head of `layer` held at the last select or observe with so many tokens.
  using HeldPositions = std::map<uint32_t, std::vector<std::vector<int32_t>>>;  // by layer
  const HeldPositions& held() const { return held_; }
  void note_held_at(uint32_t n_tokens) { held_at_ = n_tokens; }

  // ---- PolicyWatch ----

  tenure_keepset* prepare(const tenure_view&, tenure_keepset&) override;
  std::span<const tenure_evidence* const> observe(uint32_t layer,
                                                  std::span<const tenure_evidence* const>) override;
  std::span<tenure_keepset* const> select(uint32_t layer, std::span<const tenure_view* const>,
                                          std::span<tenure_keepset* const>) override;
  void enter(const char* hook) override;
  void leave(const Status&, std::span<const tenure_status> statuses) override;

 private:
  WatchedKeepset& keepset(size_t i);
  tenure_keepset* open(size_t i, const WatchedKeepset::Call& call);
  bool is_spoilt(const tenure_view& view) const;
  void spoil_evidence(const tenure_evidence& evidence);
  void look_for_poison(const tenure_view& view);
  void note(const WatchedKeepset& keepset);
  void note_held(const WatchedKeepset& keepset);

  PolicyNeeds needs_;
  uint32_t max_rebuild_rows_;
  std::function<void(const char*)> note_hook_;

  std::deque<WatchedKeepset> keepsets_;  // the first n_open_ are in the current call
  size_t n_open_ = 0;
  std::vector<tenure_evidence> evidence_;
  std::vector<const tenure_evidence*> evidence_list_;
  std::vector<tenure_keepset*> keepset_list_;

  Spoiler spoiler_;
  uint64_t n_spoilt_ = 0;
  uint32_t spoilt_at_ = 0;  // tokens; every layer of that decision is spoilt
  std::optional<std::string> poison_;

  bool keeps_trace_ = true;
  Trace trace_;
  uint32_t held_at_ = UINT32_MAX;
  HeldPositions held_;
  uint64_t n_selects_ = 0;
  uint64_t n_scored_ = 0;
  bool unsupported_ = false;
  std::vector<Breach> breaches_;

  bool measures_heap_ = false;
  int64_t heap_at_enter_ = 0;
  int64_t heap_of_host_ = 0;  // of them, what verbs made the host take
  int64_t heap_bytes_ = 0;
  std::vector<std::pair<uint32_t, int64_t>> heap_marks_;  // tokens, heap_bytes
};

}  // namespace tenure
