#include "check/watched_keepset.h"

#include <fmt/format.h>
#include <tenure/scorer.h>

#include <algorithm>
#include <cmath>

#include "check/heap.h"

namespace tenure {

WatchedKeepset::WatchedKeepset(OnBreach on_breach)
    : on_breach_(std::move(on_breach)),
      abi_{.head = {.struct_size = sizeof(tenure_keepset)},
           .ctx = this,
           .score = score,
           .keep = keep,
           .rebuild = rebuild} {}

tenure_keepset* WatchedKeepset::open(const Call& call) {
  call_ = call;
  n_rebuilt_ = 0;
  said_ = {};
  return &abi_;
}

template <typename Verb>
tenure_status WatchedKeepset::pass_on(Verb&& verb) {
  if (call_.heap_of_host == nullptr) return verb(call_.host);
  const int64_t before = heap_in_use();
  const tenure_status status = verb(call_.host);
  *call_.heap_of_host += heap_in_use() - before;
  return status;
}

std::string WatchedKeepset::place() const {
  if (call_.layer == TENURE_ALL_LAYERS) return fmt::format("after {} tokens", call_.view->n_tokens);
  return fmt::format("in layer {} after {} tokens", call_.layer, call_.view->n_tokens);
}

uint64_t WatchedKeepset::budget() const {
  uint64_t sum = 0;
  for (uint32_t h = 0; h < call_.view->n_heads; ++h) {
    const uint32_t of_head = tenure_head_at(call_.view, h)->budget;
    if (of_head == UINT32_MAX) return UINT64_MAX;
    sum += of_head;
  }
  return sum;
}

bool WatchedKeepset::is_in_place(const char* verb, uint32_t layer) {
  const bool is_open =
      call_.hook == Hook::select || (call_.hook == Hook::observe && verb == std::string_view("score"));
  if (!is_open) {
    const char* where = call_.hook == Hook::observe   ? "in observe"
                        : call_.hook == Hook::prepare ? "in prepare"
                                                      : "after its hook returned";
    on_breach_(Rule::verbs, fmt::format("{} was called {}", verb, where));
  } else if (layer != call_.layer) {
    on_breach_(Rule::verbs, fmt::format("{} for layer {} in a call on layer {}", verb, layer, call_.layer));
  }
  return is_open && layer == call_.layer;
}

tenure_status WatchedKeepset::score(tenure_keepset* keepset, uint32_t layer, const float* const* scores,
                                    const uint32_t* n_keep, tenure_error* error) {
  WatchedKeepset& self = *static_cast<WatchedKeepset*>(keepset->ctx);
  if (self.is_in_place("score", layer)) self.judge_scores(scores, n_keep);
  if (self.call_.hook == Hook::none) return TENURE_INVALID_STATE;
  return self.pass_on([&](tenure_keepset* host) { return host->score(host, layer, scores, n_keep, error); });
}

tenure_status WatchedKeepset::keep(tenure_keepset* keepset, uint32_t layer, const uint32_t* offsets,
                                   const uint32_t* slots, tenure_error* error) {
  WatchedKeepset& self = *static_cast<WatchedKeepset*>(keepset->ctx);
  if (self.is_in_place("keep", layer)) self.judge_kept(offsets, slots);
  if (self.call_.hook == Hook::none) return TENURE_INVALID_STATE;
  return self.pass_on([&](tenure_keepset* host) { return host->keep(host, layer, offsets, slots, error); });
}

tenure_status WatchedKeepset::rebuild(tenure_keepset* keepset, int32_t first_pos, uint32_t n,
                                      tenure_error* error) {
  WatchedKeepset& self = *static_cast<WatchedKeepset*>(keepset->ctx);
  if (self.call_.hook == Hook::none) {
    self.on_breach_(Rule::verbs, "rebuild was called after its hook returned");
    return TENURE_INVALID_STATE;
  }
  if (self.call_.hook != Hook::prepare) {
    self.on_breach_(Rule::verbs, fmt::format("rebuild was called in {}",
                                             self.call_.hook == Hook::observe ? "observe" : "select"));
  } else {
    self.judge_rebuild(first_pos, n);
  }
  return self.pass_on([&](tenure_keepset* host) { return host->rebuild(host, first_pos, n, error); });
}

void WatchedKeepset::judge_scores(const float* const* scores, const uint32_t* n_keep) {
  uint64_t n_asked = 0;
  for (uint32_t h = 0; h < call_.view->n_heads; ++h) {
    const tenure_head_view& head = *tenure_head_at(call_.view, h);
    const uint32_t n_slots = head.n_slots;
    const float* of_head = scores != nullptr ? scores[h] : head.state;  // NULL stands for a state of one float a slot
    if (n_slots > 0 && of_head == nullptr) {
      return on_breach_(Rule::finite_scores, fmt::format("the scores of head {} are NULL {}", h, place()));
    }
    if (n_slots > 0) said_.add(of_head, n_slots * sizeof(float));
    for (uint32_t i = 0; i < n_slots && !call_.spoilt; ++i) {
      if (std::isfinite(of_head[i])) continue;
      return on_breach_(Rule::finite_scores,
                        fmt::format("the score of slot {} of head {} is {} {}", i, h, of_head[i], place()));
    }
    if (n_keep != nullptr) n_asked += n_keep[h];
  }
  if (n_keep != nullptr) said_.add(n_keep, call_.view->n_heads * sizeof *n_keep);
  if (n_asked > budget()) {
    on_breach_(Rule::budget, fmt::format("n_keep adds up to {} {}, where the budget of all heads is {}",
                                         n_asked, place(), budget()));
  }
}

void WatchedKeepset::judge_kept(const uint32_t* offsets, const uint32_t* slots) {
  const uint32_t n_heads = call_.view->n_heads;
  if (offsets == nullptr || offsets[0] != 0) {
    return on_breach_(Rule::kept_in_range, fmt::format("the offsets {} do not begin with 0", place()));
  }
  uint64_t n_counted = 0;
  for (uint32_t h = 0; h < n_heads; ++h) {
    if (offsets[h + 1] < offsets[h]) {
      return on_breach_(Rule::kept_in_range,
                        fmt::format("the offset of head {} is below the one before it {}", h + 1, place()));
    }
    const uint32_t n = offsets[h + 1] - offsets[h];
    if (n > 0 && slots == nullptr)
      return on_breach_(Rule::kept_in_range, fmt::format("the slots are NULL {}", place()));
    if (!judge_head(h, slots + offsets[h], n, n_counted)) return;
  }
  said_.add(offsets, (size_t{n_heads} + 1) * sizeof *offsets);
  said_.add(slots, offsets[n_heads] * sizeof *slots);
  if (n_counted > budget()) {
    on_breach_(Rule::budget, fmt::format("keeps {} slots {}, where the budget of all heads is {}", n_counted,
                                         place(), budget()));
  }
}

// n_counted: grows by the kept slots that count against the budget. False when a rule is broken.
bool WatchedKeepset::judge_head(uint32_t index, const uint32_t* slots, uint32_t n, uint64_t& n_counted) {
  const tenure_head_view& head = *tenure_head_at(call_.view, index);
  uint32_t next_protected = 0;
  for (uint32_t i = 0; i < n; ++i) {
    if (slots[i] >= head.n_slots) {
      on_breach_(Rule::kept_in_range, fmt::format("keeps slot {} of head {} {}, which has {} slots", slots[i],
                                                  index, place(), head.n_slots));
      return false;
    }
    if (i > 0 && slots[i] <= slots[i - 1]) {
      on_breach_(Rule::kept_ascending, fmt::format("slot {} follows slot {} in the kept set of head {} {}",
                                                   slots[i], slots[i - 1], index, place()));
      return false;
    }
    n_counted += (head.flags[slots[i]] & TENURE_SLOT_REBUILT) == 0 ? 1 : 0;
  }
  for (uint32_t i = 0; i <= n; ++i) {
    const uint32_t end = i < n ? slots[i] : head.n_slots;
    for (; next_protected < end; ++next_protected) {
      if (head.flags[next_protected] == 0) continue;
      on_breach_(
          Rule::protected_slots,
          fmt::format("releases slot {} of head {} {}, position {}, which is protected (flags {:#x})",
                      next_protected, index, place(), head.pos[next_protected], head.flags[next_protected]));
      return false;
    }
    next_protected = end + 1;
  }
  return true;
}

void WatchedKeepset::judge_rebuild(int32_t first_pos, uint32_t n) {
  const tenure_view& view = *call_.view;
  n_rebuilt_ += n;
  said_.add_number(first_pos);
  said_.add_number(n);
  if (n_rebuilt_ > call_.max_rebuild_rows) {
    return on_breach_(Rule::rebuild, fmt::format("asks for {} positions in one prepare, where {} are allowed",
                                                 n_rebuilt_, call_.max_rebuild_rows));
  }
  for (uint64_t i = 0; i < n; ++i) {
    const int64_t pos = int64_t{first_pos} + static_cast<int64_t>(i);
    const bool was_fed = pos >= 0 && pos < int64_t{view.n_tokens};
    if (was_fed && view.released != nullptr && view.released[pos] != 0) continue;
    return on_breach_(Rule::rebuild,
                      fmt::format("asks for position {} after {} tokens, which {}", pos, view.n_tokens,
                                  was_fed ? "no head released" : "was never fed"));
  }
}

}  // namespace tenure
