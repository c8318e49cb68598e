#include "session/session.h"

#include <fmt/format.h>

#include <algorithm>

#include "session/views.h"

namespace tenure {
namespace {

using Clock = SessionTimes::Clock;

double milliseconds(Clock::duration d) { return std::chrono::duration<double, std::milli>(d).count(); }

KvConfig kv_config(const SessionSetup& setup) {
  const PolicySettings& policy = *setup.script->policy;
  const PolicyNeeds needs = policy.needs();
  const bool decides = setup.budget.bounded;
  KvConfig config = setup.kv;
  config.granularity = policy.granularity;
  config.arrays = {.score = decides,
                   .rank = setup.budget.rank_positions,
                   .state_floats = needs.state_floats_per_slot};
  config.mass = decides && (needs.evidence & TENURE_EVIDENCE_ATTENTION_MASS) != 0;
  return config;
}

}  // namespace

Session::Session(const SessionSetup& setup)
    : setup_(setup),
      cache_(std::make_unique<KvCache>(*setup.backend, *setup.weights, kv_config(setup), *setup.account)),
      state_(policy().needs().state_bytes_per_sequence),
      sampler_(script().sampling, static_cast<int32_t>(setup.n_vocab), script().key),
      end_(static_cast<uint32_t>(script().segments.size())) {
  if (sampler_.needs_logits() || script().on_logits) logits_.resize(setup.n_vocab);
  reserve();
  result_.curve.push_back({.fed_tokens = 0, .bytes = 0});
  if (setup.budget.bounded) result_.budget_slots = setup.budget.slots;
  begin_policy(false);
  advance();
}

Session::Session(const Session& parent, uint32_t segment)
    : setup_(parent.setup_),
      cache_(parent.cache_->fork()),
      state_(parent.state_),
      token_state_(parent.token_state_),
      sampler_(parent.sampler_),
      logits_(parent.logits_.size()),
      ids_(parent.ids_),
      released_(parent.released_),
      rebuilt_(parent.rebuilt_),
      has_rebuilt_(parent.has_rebuilt_),
      segment_(segment),
      end_(segment + 1),
      pending_(parent.pending_),
      policy_dropped_(parent.policy_dropped_),
      n_steps_(parent.n_steps_) {
  reserve();
  begin_policy(true);
  if (stage_ != Stage::done) begin_segment();
}

Session::~Session() = default;

// Room for everything that grows, so that decode allocates nothing.
void Session::reserve() {
  const uint64_t n_total = script().n_total();
  const PolicyNeeds needs = policy().needs();
  ids_.reserve(n_total);
  token_state_.reserve(n_total * needs.state_floats_per_token);
  if (needs.rebuild) released_.reserve(n_total);
  result_.curve.reserve(max_kv_curve);
  uint64_t n_slots = n_total;
  if (setup_.budget.bounded && (policy().when & TENURE_PHASE_CHUNK) != 0) {
    const uint64_t most = uint64_t{setup_.budget.slots} + policy().chunk + policy().slack + policy().period;
    n_slots = std::min(n_total, most + (needs.rebuild ? setup_.max_rebuild_rows : 0));
  }
  cache_->reserve(static_cast<uint32_t>(n_slots), static_cast<uint32_t>(n_total));
}

std::unique_ptr<Session> Session::fork(uint32_t index) const {
  return std::unique_ptr<Session>(new Session(*this, index));
}

void Session::begin_policy(bool forked) {
  const tenure_call call{.head = {.struct_size = sizeof(tenure_call)}, .phase = TENURE_PHASE_CHUNK};
  const tenure_sequence_info info{
      .head = {.struct_size = sizeof(tenure_sequence_info)},
      .seed = script().key,
      .budget = setup_.budget.bounded ? setup_.budget.slots : UINT64_MAX,
      .chunk = policy().chunk,
      .n_prompt = static_cast<uint32_t>(script().n_fed()),
      .positions = setup_.budget.rank_positions ? uint32_t{TENURE_POSITIONS_RANK} : uint32_t{TENURE_POSITIONS_ORIGINAL},
      .forked = forked ? 1u : 0u,
      .state = state_.data()};
  if (policy().inner != nullptr) {
    if (Status status = policy().inner->begin(call, info, inner_sequence_); !status.ok()) return policy_failed(*policy().inner, status);
  }
  if (Status status = policy().policy->begin(call, info, sequence_); !status.ok()) policy_failed(status);
}

DecidedTables Session::decided_tables(uint32_t layer) {
  const bool all = layer == TENURE_ALL_LAYERS;
  const uint32_t n = all ? cache_->n_tables() : cache_->n_tables_of(layer);
  return {.cache = cache_.get(),
          .layer = layer,
          .first = all || n == 0 ? 0 : cache_->first_table(layer),
          .n = n,
          .budget = uint64_t{setup_.budget.slots} * n};
}

// ---- rows in ----

uint32_t Session::chunk_begin() const {
  const uint32_t base = n_fed_ < n_text_ ? 0 : n_text_;
  return decides() ? base + (n_fed_ - base) / policy().chunk * policy().chunk : 0;
}

uint32_t Session::chunk_end() const {
  const uint32_t all = static_cast<uint32_t>(feed_.size());
  if (!decides()) return all;
  return std::min(chunk_begin() + policy().chunk, n_fed_ < n_text_ ? n_text_ : all);
}

uint32_t Session::add_rows(Batch& batch, uint32_t max_rows) {
  n_rows_ = n_rebuild_rows_ = n_appended_ = n_score_wants_ = 0;
  first_row_ = batch.n_rows();
  sample_want_.reset();
  decision_.reset();
  if (stage_ == Stage::feeding) return add_feed(batch, max_rows);
  return stage_ == Stage::decoding ? add_decode(batch) : 0;
}

bool Session::append_rows(Batch& batch, std::span<const int32_t> rows, uint32_t kind, uint32_t n_mass_rows) {
  const auto first_pos = static_cast<int32_t>(ids_.size());
  ids_.insert(ids_.end(), rows.begin(), rows.end());
  const PolicyNeeds needs = policy().needs();
  token_state_.resize(ids_.size() * needs.state_floats_per_token);
  if (needs.rebuild) released_.resize(ids_.size(), 0);
  if (!cache_->append(first_pos, static_cast<uint32_t>(rows.size()))) {
    fail({.code = RowCode::internal, .message = "the page pool is used up: admission reserved too little"});
    return false;
  }
  batch.add({.cache = cache_.get(),
             .appended = n_appended_++,
             .kind = kind,
             .ids = rows,
             .first_pos = first_pos,
             .n_mass_rows = n_mass_rows});
  n_rows_ += static_cast<uint32_t>(rows.size());
  result_.n_fed += rows.size();
  return true;
}

uint32_t Session::add_feed(Batch& batch, uint32_t max_rows) {
  const uint32_t end = chunk_end();
  uint32_t n = std::min(end - n_fed_, max_rows);
  if (n_fed_ + n < end) n -= n % setup_.row_granularity;
  if (n == 0) return 0;
  cache_->begin_step();
  const std::span<const int32_t> rows(feed_.data() + n_fed_, n);
  const bool gives_away = script().segments[segment_].probe && n_fed_ >= n_text_;  // the answer, which nobody knows yet
  if (n_fed_ == chunk_begin() && !gives_away && !prepare(batch, std::span(feed_).subspan(n_fed_, end - n_fed_), TENURE_PHASE_CHUNK)) {
    return 0;
  }
  const uint32_t mass_rows = policy().needs().mass_rows;
  const uint32_t first_mass = end - std::min(end, mass_rows);
  const uint32_t n_mass = n_fed_ + n - std::clamp(first_mass, n_fed_, n_fed_ + n);
  const uint32_t first_row = batch.n_rows();
  if (!append_rows(batch, rows, TENURE_ROWS_PREFILL, n_mass)) return 0;
  want_scores(batch, first_row, n);
  if (answer_ && n_fed_ + n == n_text_) want_sample(batch, first_row + n - 1);
  return n_rows_;
}

uint32_t Session::add_decode(Batch& batch) {
  const int32_t token = answer_->last_sampled();
  cache_->begin_step();
  if (n_steps_ % policy().period == 0 && !prepare(batch, std::span(&token, 1), TENURE_PHASE_DECODE)) return 0;
  const uint32_t row = batch.n_rows();
  if (!append_rows(batch, std::span(&token, 1), TENURE_ROWS_DECODE, observes() ? UINT32_MAX : 0)) return 0;
  want_sample(batch, row);
  return n_rows_;
}

void Session::want_sample(Batch& batch, uint32_t row) {
  const uint32_t full = logits_.empty() ? 0u : uint32_t{TENURE_WANT_FULL};
  sample_want_ = batch.want(row, {.flags = full | TENURE_WANT_ARGMAX | TENURE_WANT_LOGSUMEXP, .full = logits_});
}

// Of the n_rows of feed_ just added, those that a scored token comes out of.
void Session::want_scores(Batch& batch, uint32_t first_row, uint32_t n_rows) {
  const SegmentScript& segment = script().segments[segment_];
  const uint32_t end = n_fed_ + n_rows;
  const uint32_t first = std::max(n_fed_ + 1, n_text_) - 1;
  if (segment.score.empty() || first >= end) return;
  const size_t n_logits = segment.on_scored ? setup_.n_vocab : 0;
  score_logits_.resize((end - first) * n_logits);
  constexpr uint32_t figures = TENURE_WANT_LOGITS_AT | TENURE_WANT_LOGSUMEXP | TENURE_WANT_ARGMAX;
  for (uint32_t i = first; i < end; ++i) {
    const uint32_t want = batch.want(first_row + i - n_fed_, {.flags = figures | (segment.on_scored ? uint32_t{TENURE_WANT_FULL} : 0u),
                                                              .ids = std::span(&segment.score[i + 1 - n_text_], 1),
                                                              .full = std::span(score_logits_).subspan((i - first) * n_logits, n_logits)});
    if (n_score_wants_++ == 0) first_score_want_ = want;
  }
}

// ---- results out ----

void Session::accept(const Batch& batch) {
  // A bad row spoils others a layer later, whose masked values are NaN times zero: the row that was bad first is to blame.
  uint32_t worst = first_row_;
  for (uint32_t row = first_row_; row < first_row_ + n_rows_; ++row) {
    const int32_t layer = batch.first_bad_layer(row);
    if (layer >= 0 && (batch.first_bad_layer(worst) < 0 || layer < batch.first_bad_layer(worst))) worst = row;
  }
  if (n_rows_ > 0 && batch.first_bad_layer(worst) >= 0) {
    return fail({.code = RowCode::numeric,
                 .message = fmt::format("the input of layer {} is not finite at token {} (decode step {})",
                                        batch.first_bad_layer(worst), ids_.size() - (first_row_ + n_rows_ - worst), n_steps_)});
  }
  if (n_score_wants_ > 0) accept_scores(batch);
  if (sample_want_) accept_sample(batch);
  if (stage_ == Stage::done) return;
  note_policy_bytes();
  if (stage_ == Stage::feeding) {
    const uint32_t end = chunk_end();
    n_fed_ += n_rows_ - n_rebuild_rows_;
    const bool last = n_fed_ == n_text_ || n_fed_ == feed_.size();
    const bool on_chunk = (policy().when & TENURE_PHASE_CHUNK) != 0;
    if (observes() && n_fed_ == end) {
      decision_ = {.phase = last && !on_chunk ? uint32_t{TENURE_PHASE_PREFILL_END} : uint32_t{TENURE_PHASE_CHUNK},
                   .last_chunk = last};
    }
  } else {
    ++n_steps_;
    if (observes() && !answer_->done()) decision_ = {.phase = TENURE_PHASE_DECODE};
  }
}

void Session::accept_sample(const Batch& batch) {
  const tenure_logits& logits = batch.logits(*sample_want_);
  if (script().on_logits) script().on_logits(logits_);  // before the sampler changes them
  if (!answer_->accept(sampler_, logits, logits_, ids_)) {
    return fail({.code = RowCode::numeric,
                 .message = fmt::format("the logits are not finite at token {} (decode step {})", ids_.size() - 1, n_steps_)});
  }
  if (current().ttft_ms) return;
  const Clock::time_point now = Clock::now();
  current().ttft_ms = milliseconds(now - segment_began_);
  if (!result_.times.first_token) result_.times.first_token = now;
}

void Session::accept_scores(const Batch& batch) {
  const SegmentScript& segment = script().segments[segment_];
  for (uint32_t i = 0; i < n_score_wants_; ++i) {
    const tenure_logits& logits = batch.logits(first_score_want_ + i);
    if (logits.status != TENURE_OK) {
      return fail({.code = RowCode::numeric, .message = fmt::format("the logits of scored token {} are not finite", i)});
    }
    SegmentResult& result = current();
    *result.logprob += static_cast<double>(batch.logit_at(first_score_want_ + i, 0)) - logits.logsumexp;
    result.n_correct += logits.argmax == segment.score[result.n_scored] ? 1 : 0;
    if (segment.on_scored) segment.on_scored(result.n_scored, std::span(score_logits_).subspan(size_t{i} * setup_.n_vocab, setup_.n_vocab));
    ++result.n_scored;
  }
}

void Session::end_step() {
  if (stage_ == Stage::done || stage_ == Stage::forking || n_rows_ == 0) return;
  if (script().on_step) note_step();
  n_rows_ = 0;
  cache_->trim_windows(static_cast<int32_t>(ids_.size()));
  // Only where the engine's way of cutting chunks does not show.
  if (stage_ == Stage::decoding || n_fed_ == feed_.size() || (decides() && n_fed_ == chunk_begin())) note_curve();
  if (stage_ == Stage::feeding && n_fed_ == feed_.size()) {
    if (answer_ && !answer_->done()) {
      stage_ = Stage::decoding;
      return;
    }
    end_segment();
  } else if (stage_ == Stage::decoding && answer_->done()) {
    end_segment();
  }
}

// Before a decision: that is when the side arrays are longest.
void Session::note_policy_bytes() {
  if (!decides()) return;
  uint64_t n_slots = 0;
  for (uint32_t i = 0; i < cache_->n_tables(); ++i) n_slots += cache_->table(i).size();
  const PolicyNeeds needs = policy().needs();
  const uint64_t floats = 1 + needs.state_floats_per_slot + ((needs.evidence & TENURE_EVIDENCE_ATTENTION_MASS) != 0 ? 1 : 0);
  result_.policy_bytes = std::max(result_.policy_bytes, state_.bytes() + sizeof(float) * (token_state_.size() + n_slots * floats));
}

void Session::note_curve() {
  if (++curve_skip_ < curve_stride_) return;
  curve_skip_ = 0;
  if (result_.curve.size() == max_kv_curve) {
    for (size_t i = 0; i < max_kv_curve / 2; ++i) result_.curve[i] = result_.curve[2 * i];
    result_.curve.resize(max_kv_curve / 2);
    curve_stride_ *= 2;
  }
  result_.curve.push_back({.fed_tokens = static_cast<int64_t>(ids_.size()),
                           .bytes = static_cast<int64_t>(setup_.account->bytes)});
}

void Session::note_step() {
  script().on_step({.rows = n_rows_,
                    .rebuilt_rows = n_rebuild_rows_,
                    .released = result_.released - noted_released_,
                    .rebuilt = result_.rebuilt - noted_rebuilt_,
                    .kv_bytes = setup_.account->bytes});
  noted_released_ = result_.released;
  noted_rebuilt_ = result_.rebuilt;
}

// ---- failures ----

void Session::fail(RowError error) {
  result_.error = std::move(error);
  result_.policy_dropped = false;
  stage_ = Stage::done;
  decision_.reset();
}

void Session::policy_failed(const Policy& of, const Status& status) {
  const bool bad_plan = status.code == TENURE_BAD_PLAN || status.code == TENURE_NUMERIC || status.code == TENURE_INVALID_STATE;
  RowError error{.code = bad_plan ? RowCode::bad_plan : RowCode::plugin_error,
                 .message = to_text(status),
                 .plugin = of.id()};
  if (!policy().full_on_error) return fail(std::move(error));
  result_.error = std::move(error);
  result_.policy_dropped = true;
  policy_dropped_ = true;
  decision_.reset();
}

}  // namespace tenure
