// One sequence's whole mutable state: its cache, policy instance, sampler and place in its script. It says which rows it
// wants next and takes what came out; it never runs a forward. Engine's thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cache/kv_cache.h"
#include "cache/selection.h"
#include "model/batch.h"
#include "sampler/sampler.h"
#include "session/answer.h"
#include "session/keep_set_builder.h"
#include "session/result.h"
#include "session/script.h"
#include "session/state_block.h"
#include "session/views.h"

namespace tenure {

// Shared by the sessions of one request and outliving them.
struct SessionSetup {
  const SessionScript* script = nullptr;
  const Tokenizer* tokenizer = nullptr;
  Backend* backend = nullptr;
  const DeviceWeights* weights = nullptr;
  KvConfig kv;  // pools and shape; the session sets what its policy needs
  SessionBudget budget;
  uint32_t n_vocab = 0;
  uint32_t row_granularity = 1;
  uint32_t max_rebuild_rows = 0;
  KvAccount* account = nullptr;
};

// A decision that is due after a forward.
struct DecisionPoint {
  uint32_t phase = 0;  // one TENURE_PHASE_* bit
  bool last_chunk = false;
  friend bool operator==(const DecisionPoint&, const DecisionPoint&) = default;
};

class Session {
 public:
  enum class Stage : uint8_t { feeding, decoding, forking, done };

  explicit Session(const SessionSetup& setup);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();
  // A sibling that runs only segment `index`, sharing every page.
  std::unique_ptr<Session> fork(uint32_t index) const;

  Stage stage() const { return stage_; }
  bool is_last_segment() const { return segment_ + 1 == end_; }
  // While forking: the next segments that want a sibling each, [first, last).
  uint32_t first_fork() const { return segment_; }
  uint32_t last_fork() const;
  // All siblings are done and their results taken.
  void resume();

  // Adds the rows of the next forward: decode one, feeding up to max_rows within the chunk, rebuilt rows first. Returns
  // how many were added; 0 when max_rows is too small for now or the session failed.
  uint32_t add_rows(Batch& batch, uint32_t max_rows);
  uint32_t n_rows() const { return n_rows_; }                  // just added, rebuilt ones included
  uint32_t n_rebuild_rows() const { return n_rebuild_rows_; }  // of them, the first
  uint32_t first_row() const { return first_row_; }            // in the batch
  // Reads the logits of the rows just added; afterwards decision() says what is due.
  void accept(const Batch& batch);
  const std::optional<DecisionPoint>& decision() const { return decision_; }
  void decided() { decision_.reset(); }
  // After the decision, if one was due: moves on in the script.
  void end_step();

  void fail(RowError error);
  const std::optional<RowError>& error() const { return result_.error; }
  // A plugin's failure: the request fails, or goes on with the full cache where the pipeline says so.
  void policy_failed(const Policy& of, const Status& status);
  void policy_failed(const Status& status) { policy_failed(*policy().policy, status); }

  const SessionScript& script() const { return *setup_.script; }
  const PolicySettings& policy() const { return *setup_.script->policy; }
  const SessionBudget& budget() const { return setup_.budget; }
  // Neither was the policy dropped nor has the session come to its end.
  bool policy_active() const { return !policy_dropped_ && stage_ != Stage::done; }
  // A decision may still come, so evidence of the coming rows counts.
  bool observes() const {
    const bool probes = script().segments[segment_].probe;
    return decides() && !probes && (stage_ != Stage::decoding || !is_last_segment() || (policy().when & TENURE_PHASE_DECODE) != 0);
  }
  KvCache& cache() { return *cache_; }
  const KvCache& cache() const { return *cache_; }
  // What a call on `layer`, or on TENURE_ALL_LAYERS, is about.
  DecidedTables decided_tables(uint32_t layer);
  // One of policy().policy and policy().inner.
  const PolicySequence& sequence(const Policy& of) const { return &of == policy().inner ? inner_sequence_ : sequence_; }
  std::span<const int32_t> ids() const { return ids_; }
  std::span<const uint8_t> released() const { return released_; }
  void* state() { return state_.data(); }
  float* token_state() { return token_state_.empty() ? nullptr : token_state_.data(); }
  uint64_t n_steps() const { return n_steps_; }

  // Settles what a decision released from the cache, and counts it.
  Status settle_cache();
  SessionResult& result() { return result_; }
  // A finished sibling's part.
  void take(SessionResult&& sibling);

 private:
  Session(const Session& parent, uint32_t segment);
  void reserve();
  void begin_policy(bool forked);
  void begin_segment();
  void end_segment();
  void advance();
  bool next_has_no_text() const;
  bool decides() const { return setup_.budget.bounded && !policy_dropped_; }
  uint32_t chunk_begin() const;
  uint32_t chunk_end() const;
  uint32_t add_feed(Batch& batch, uint32_t max_rows);
  uint32_t add_decode(Batch& batch);
  bool append_rows(Batch& batch, std::span<const int32_t> rows, uint32_t kind, uint32_t n_mass_rows);
  void want_sample(Batch& batch, uint32_t row);
  void want_scores(Batch& batch, uint32_t first_row, uint32_t n_rows);
  bool prepare(Batch& batch, std::span<const int32_t> rows, uint32_t phase);
  bool add_rebuilt(Batch& batch);
  Status drop_rebuilt();
  Status settle_released();
  uint32_t holders(int32_t pos) const;
  void accept_sample(const Batch& batch);
  void accept_scores(const Batch& batch);
  void note_policy_bytes();
  void note_curve();
  void note_step();
  SegmentResult& current() { return result_.segments.back(); }

  SessionSetup setup_;
  std::unique_ptr<KvCache> cache_;
  StateBlock state_;
  std::vector<float> token_state_;  // (n_tokens, state_floats_per_token)
  PolicySequence sequence_;
  PolicySequence inner_sequence_;
  Sampler sampler_;
  std::vector<float> logits_;  // (n_vocab) only when the sampler, or the script's on_logits, reads them
  std::vector<float> score_logits_;  // (n_score_wants_, n_vocab) only when the segment's on_scored reads them
  std::vector<int32_t> ids_;   // every token fed, by position
  std::vector<uint8_t> released_;  // (n_tokens) only when the policy may rebuild
  std::vector<PositionSpan> rebuilt_;  // spans named by the last prepare
  bool has_rebuilt_ = false;           // some slot may be a rebuilt one
  PolicyView prepare_view_;
  KeepSetBuilder prepare_keepset_;
  std::vector<int32_t> released_now_;

  Stage stage_ = Stage::feeding;
  uint32_t segment_ = 0;
  uint32_t end_ = 0;                // one past the last segment this session runs
  std::optional<int32_t> pending_;  // not fed yet: the next segment starts with it
  std::vector<int32_t> feed_;       // of this segment: pending token, text, scored tokens but the last
  uint32_t n_text_ = 0;             // of feed_, those before the scored ones
  uint32_t n_fed_ = 0;              // of feed_
  std::optional<Answer> answer_;
  std::optional<DecisionPoint> decision_;
  bool policy_dropped_ = false;
  uint64_t n_steps_ = 0;
  SessionTimes::Clock::time_point segment_began_;
  uint32_t curve_stride_ = 1;
  uint32_t curve_skip_ = 0;
  uint64_t noted_released_ = 0;  // what on_step was told of
  uint64_t noted_rebuilt_ = 0;

  // Of the rows just added.
  uint32_t n_rows_ = 0;  // rebuilt ones included
  uint32_t n_rebuild_rows_ = 0;
  uint32_t n_appended_ = 0;
  uint32_t first_row_ = 0;
  std::optional<uint32_t> sample_want_;
  uint32_t first_score_want_ = 0;
  uint32_t n_score_wants_ = 0;

  SessionResult result_;
};

}  // namespace tenure
