#include "check/referee.h"

#include <fmt/format.h>
#include <tenure/scorer.h>

#include <algorithm>
#include <cmath>

#include "check/heap.h"

namespace tenure {
namespace {

using Hook = WatchedKeepset::Hook;

uint64_t history_of(const tenure_view& view) {
  Digest digest;
  digest.add(view.ids, view.n_tokens * sizeof *view.ids);
  return digest.value();
}

bool all_finite(const float* values, uint64_t n) {
  return values == nullptr || std::all_of(values, values + n, [](float v) { return std::isfinite(v); });
}

}  // namespace

std::optional<Occasion> first_difference(const Trace& some, const Trace& all) {
  for (const auto& [occasion, digest] : some) {
    const auto it = all.find(occasion);
    if (it == all.end() || it->second != digest) return occasion;
  }
  return std::nullopt;
}

std::string to_text(const Occasion& occasion) {
  const char* hook = occasion.hook == static_cast<uint8_t>(Hook::observe)  ? "observe"
                     : occasion.hook == static_cast<uint8_t>(Hook::select) ? "select"
                                                                           : "prepare";
  const std::string layer =
      occasion.layer == TENURE_ALL_LAYERS ? "" : fmt::format(" of layer {}", occasion.layer);
  return fmt::format("{}{} after {} tokens", hook, layer, occasion.n_tokens);
}

Referee::Referee(const PolicyNeeds& needs, uint32_t max_rebuild_rows,
                 std::function<void(const char*)> note_hook)
    : needs_(needs), max_rebuild_rows_(max_rebuild_rows), note_hook_(std::move(note_hook)) {}

void Referee::spoil(const Spoiler& spoiler) {
  spoiler_ = spoiler;
  spoilt_at_ = 0;
  n_spoilt_ = 0;
  poison_.reset();
}

std::optional<int64_t> Referee::heap_bytes_at(uint32_t n_tokens) const {
  for (const auto& [tokens, bytes] : heap_marks_) {
    if (tokens >= n_tokens) return bytes;
  }
  return std::nullopt;
}

WatchedKeepset& Referee::keepset(size_t i) {
  while (keepsets_.size() <= i) {
    keepsets_.emplace_back([this](Rule rule, std::string text) {
      const bool known = std::any_of(breaches_.begin(), breaches_.end(),
                                     [&](const Breach& breach) { return breach.rule == rule; });
      if (!known) breaches_.push_back({rule, std::move(text)});
    });
  }
  return keepsets_[i];
}

tenure_keepset* Referee::open(size_t i, const WatchedKeepset::Call& call) {
  n_open_ = i + 1;
  WatchedKeepset::Call measured = call;
  measured.heap_of_host = measures_heap_ ? &heap_of_host_ : nullptr;
  return keepset(i).open(measured);
}

tenure_keepset* Referee::prepare(const tenure_view& view, tenure_keepset& host) {
  return open(0, {.hook = Hook::prepare,
                  .layer = TENURE_ALL_LAYERS,
                  .view = &view,
                  .host = &host,
                  .max_rebuild_rows = max_rebuild_rows_});
}

std::span<const tenure_evidence* const> Referee::observe(uint32_t layer,
                                                         std::span<const tenure_evidence* const> evidence) {
  evidence_.clear();
  evidence_list_.clear();
  evidence_.reserve(evidence.size());
  for (size_t i = 0; i < evidence.size(); ++i) {
    evidence_.push_back(*evidence[i]);
    spoil_evidence(evidence_.back());
    evidence_.back().keepset = open(i, {.hook = Hook::observe,
                                        .layer = layer,
                                        .view = evidence[i]->view,
                                        .host = evidence[i]->keepset,
                                        .spoilt = is_spoilt(*evidence[i]->view)});
    evidence_list_.push_back(&evidence_.back());
  }
  return evidence_list_;
}

std::span<tenure_keepset* const> Referee::select(uint32_t layer, std::span<const tenure_view* const> views,
                                                 std::span<tenure_keepset* const> keepsets) {
  keepset_list_.clear();
  for (size_t i = 0; i < views.size(); ++i) {
    keepset_list_.push_back(open(i, {.hook = Hook::select,
                                     .layer = layer,
                                     .view = views[i],
                                     .host = keepsets[i],
                                     .spoilt = is_spoilt(*views[i])}));
  }
  n_selects_ += views.size();
  return keepset_list_;
}

void Referee::enter(const char* hook) {
  if (note_hook_) note_hook_(hook);
  heap_of_host_ = 0;
  if (measures_heap_) heap_at_enter_ = heap_in_use();
}

void Referee::leave(const Status& status, std::span<const tenure_status> statuses) {
  if (measures_heap_) heap_bytes_ += heap_in_use() - heap_at_enter_ - heap_of_host_;
  if (note_hook_) note_hook_(nullptr);
  unsupported_ |= status.code == TENURE_UNSUPPORTED ||
                  std::count(statuses.begin(), statuses.end(), TENURE_UNSUPPORTED) > 0;
  for (size_t i = 0; i < n_open_; ++i) {
    note(keepsets_[i]);
    keepsets_[i].close();
  }
  n_open_ = 0;
}

// ---- spoilt evidence ----

bool Referee::is_spoilt(const tenure_view& view) const {
  return n_spoilt_ > 0 && view.n_tokens >= spoilt_at_ && view.n_tokens > 0 &&
         view.ids[0] == spoiler_.first_id;
}

// Every array that the evidence has, so that a kind of evidence added to it is one line here.
void Referee::spoil_evidence(const tenure_evidence& evidence) {
  const tenure_view& view = *evidence.view;
  const bool is_due = spoilt_at_ == 0 ? view.n_tokens > spoiler_.after_tokens : view.n_tokens == spoilt_at_;
  if (spoiler_.first_id < 0 || !is_due || view.ids[0] != spoiler_.first_id) return;
  const auto spoil = [&](const float* values, uint64_t n) {
    if (values == nullptr || n == 0) return;
    const_cast<float*>(values)[n / 2] = spoiler_.value;  // the cache's own array, cleared after the decision
    ++n_spoilt_;
    spoilt_at_ = view.n_tokens;
  };
  for (uint32_t h = 0; h < view.n_heads; ++h) {
    const tenure_head_view& head = *tenure_head_at(&view, h);
    spoil(head.mass, head.n_slots);
    spoil(head.k, uint64_t{head.n_slots} * view.head_dim);
    spoil(head.v, uint64_t{head.n_slots} * view.head_dim);
  }
  for (const tenure_f32_view& rows :
       {evidence.q_pre, evidence.q_post, evidence.k_pre, evidence.v, evidence.k_post, evidence.hidden})
    spoil(rows.data, 1);
}

void Referee::look_for_poison(const tenure_view& view) {
  if (poison_) return;
  for (uint32_t h = 0; h < view.n_heads; ++h) {
    const tenure_head_view& head = *tenure_head_at(&view, h);
    const bool in_state = !all_finite(head.state, uint64_t{head.n_slots} * needs_.state_floats_per_slot);
    if (!in_state && all_finite(head.score, head.n_slots)) continue;
    poison_ = fmt::format("a number that is not finite stayed in the {} of head {} after {} tokens",
                          in_state ? "state" : "scores", h, view.n_tokens);
    return;
  }
  if (all_finite(view.token_state, uint64_t{view.n_tokens} * needs_.state_floats_per_token)) return;
  poison_ =
      fmt::format("a number that is not finite stayed in the tokens' state after {} tokens", view.n_tokens);
}

// ---- what was seen ----

void Referee::note(const WatchedKeepset& keepset) {
  const WatchedKeepset::Call& call = keepset.call();
  const tenure_view& view = *call.view;
  if (keepset.said().value() != Digest().value()) ++n_scored_;
  if (call.spoilt) look_for_poison(view);
  if (measures_heap_) heap_marks_.emplace_back(view.n_tokens, heap_bytes_);
  if (view.n_tokens == held_at_) note_held(keepset);
  if (!keeps_trace_) return;
  Digest digest = keepset.said();
  for (uint32_t h = 0; h < view.n_heads; ++h) {
    const tenure_head_view& head = *tenure_head_at(&view, h);
    digest.add_number(head.n_slots);
    if (head.n_slots > 0) digest.add(head.pos, head.n_slots * sizeof *head.pos);
  }
  trace_[{.history = history_of(view),
          .n_tokens = view.n_tokens,
          .layer = call.layer,
          .hook = static_cast<uint8_t>(call.hook)}] = digest.value();
}

void Referee::note_held(const WatchedKeepset& keepset) {
  if (keepset.call().hook == Hook::prepare) return;
  auto& heads = held_[keepset.call().layer];
  heads.clear();
  for (uint32_t h = 0; h < keepset.call().view->n_heads; ++h) {
    const tenure_head_view& head = *tenure_head_at(keepset.call().view, h);
    heads.emplace_back(head.pos, head.pos + head.n_slots);
    std::sort(heads.back().begin(), heads.back().end());
  }
}

}  // namespace tenure
