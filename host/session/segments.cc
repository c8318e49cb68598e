// Session's way through its script: segments begin and end, forks branch off and come back.
#include <fmt/format.h>

#include <algorithm>

#include "session/session.h"

namespace tenure {

uint32_t Session::last_fork() const {
  uint32_t last = segment_;
  while (last < end_ && script().segments[last].fork) ++last;
  return last;
}

void Session::resume() {
  segment_ = last_fork();
  advance();
}

// Whether any segment that may come next starts without text, so that this one's last token must be left to it.
bool Session::next_has_no_text() const {
  for (uint32_t next = segment_ + 1; next < end_; ++next) {
    if (script().segments[next].ids.empty()) return true;
    if (!script().segments[next].fork) return false;
  }
  return false;
}

void Session::advance() {
  if (stage_ == Stage::done) return;
  if (segment_ == end_) {
    stage_ = Stage::done;
    result_.end_bytes = setup_.account->bytes;
  } else if (script().segments[segment_].fork) {
    stage_ = Stage::forking;
  } else {
    begin_segment();
  }
}

void Session::begin_segment() {
  const SegmentScript& segment = script().segments[segment_];
  result_.segments.push_back({.index = segment_});
  segment_began_ = SessionTimes::Clock::now();
  feed_.clear();
  if (pending_) feed_.push_back(*pending_);
  pending_.reset();
  feed_.insert(feed_.end(), segment.ids.begin(), segment.ids.end());
  n_fed_ = 0;
  n_text_ = static_cast<uint32_t>(feed_.size());
  stage_ = Stage::feeding;
  answer_.reset();
  if (segment.generate > 0) answer_.emplace(*setup_.tokenizer, script(), segment.generate);
  if (!segment.score.empty()) {
    feed_.insert(feed_.end(), segment.score.begin(), segment.score.end());
    pending_ = feed_.back();
    feed_.pop_back();
    current().logprob = 0.0;
  } else if (segment.generate == 0 && n_text_ > 0 && next_has_no_text()) {
    pending_ = feed_.back();
    feed_.pop_back();
    --n_text_;
  }
  if (feed_.empty() && (answer_ || !segment.score.empty())) {
    fail({.code = RowCode::bad_request, .message = fmt::format("segment {} has nothing before what it asks for", segment_)});
  } else if (feed_.empty()) {
    end_segment();
  }
}

void Session::end_segment() {
  SegmentResult& result = current();
  if (answer_) {
    result.tokens.assign(answer_->tokens().begin(), answer_->tokens().end());
    result.text = answer_->text();
    result.finish = answer_->finished();
    result.logprob = answer_->logprob();
    result_.n_generated += result.tokens.size();
    // An end-of-generation token is fed only where nothing else would follow the answer.
    if (!answer_->ending_token() || next_has_no_text()) pending_ = answer_->last_sampled();
  }
  // The turn ends with the answer: what was rebuilt for it goes.
  if (answer_ || !script().segments[segment_].score.empty()) rebuilt_.clear();
  if (Status status = drop_rebuilt(); !status.ok()) return policy_failed(status);
  result.kv_bytes = cache_->bytes();
  result.peak_bytes = setup_.account->peak_bytes;
  ++segment_;
  advance();
}

void Session::take(SessionResult&& sibling) {
  for (SegmentResult& segment : sibling.segments) result_.segments.push_back(std::move(segment));
  result_.n_fed += sibling.n_fed;
  result_.n_generated += sibling.n_generated;
  result_.released += sibling.released;
  result_.rebuilt += sibling.rebuilt;
  result_.rebuild_rows += sibling.rebuild_rows;
  noted_released_ += sibling.released;  // told by the sibling
  noted_rebuilt_ += sibling.rebuilt;
  result_.policy_bytes = std::max(result_.policy_bytes, sibling.policy_bytes);
  result_.rebuild_bytes = std::max(result_.rebuild_bytes, sibling.rebuild_bytes);
  result_.times.prefill += sibling.times.prefill;
  result_.times.decode += sibling.times.decode;
  result_.times.policy += sibling.times.policy;
  result_.times.rebuild += sibling.times.rebuild;
  result_.times.n_prefilled += sibling.times.n_prefilled;
  result_.times.n_decoded += sibling.times.n_decoded;
  if (!result_.times.first_token) result_.times.first_token = sibling.times.first_token;
  if (!sibling.error) return;
  if (!sibling.policy_dropped) return fail(std::move(*sibling.error));
  result_.policy_dropped = true;
  result_.error = std::move(sibling.error);
}

}  // namespace tenure
