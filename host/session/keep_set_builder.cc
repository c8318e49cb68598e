#include "session/keep_set_builder.h"

#include <fmt/format.h>
#include <tenure/wide.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

namespace tenure {
namespace {

// Infinities and what is no number have every bit of the exponent. Counted, so that it vectorises.
TENURE_WIDE uint32_t n_not_finite(const float* x, uint32_t n) {
  constexpr uint32_t exponent = 0x7f800000u;
  uint32_t n_bad = 0;
  for (uint32_t i = 0; i < n; ++i) n_bad += (std::bit_cast<uint32_t>(x[i]) & exponent) == exponent ? 1 : 0;
  return n_bad;
}

}  // namespace

KeepSetBuilder::KeepSetBuilder()
    : abi_{.head = {.struct_size = sizeof(tenure_keepset)}, .ctx = this, .score = score, .keep = keep, .rebuild = rebuild} {}

void KeepSetBuilder::open(Verbs verbs, const DecidedTables& tables) {
  open_ = verbs;
  tables_ = tables;
  kept_ = false;
  violation_.clear();
  if (keep_.size() < tables.n) keep_.resize(tables.n);
}

void KeepSetBuilder::open_selection(const DecidedTables& tables) { open(Verbs::selection, tables); }
void KeepSetBuilder::open_scoring(const DecidedTables& tables) { open(Verbs::scoring, tables); }

Status KeepSetBuilder::close(const std::string& id, const char* hook, const Status& call, tenure_status own) {
  open_ = Verbs::none;
  if (!violation_.empty()) return {TENURE_BAD_PLAN, id + hook, std::exchange(violation_, {})};
  if (call.ok() && own != TENURE_OK) return {own, id + hook, "the policy reported a failure"};
  return call;
}

void KeepSetBuilder::open_rebuild(std::span<const uint8_t> released, uint32_t max_rows) {
  open(Verbs::rebuild, {.layer = TENURE_ALL_LAYERS});
  released_ = released;
  max_rebuild_rows_ = max_rows;
  n_rebuild_rows_ = 0;
  rebuilds_.clear();
}

tenure_status KeepSetBuilder::refuse(tenure_status code, std::string text, tenure_error* error) {
  if (error != nullptr && error->head.struct_size >= sizeof(tenure_error)) {
    error->code = code;
    error->native = 0;
    std::strncpy(error->where, "keepset", sizeof error->where - 1);
    std::strncpy(error->text, text.c_str(), sizeof error->text - 1);
  }
  if (violation_.empty()) violation_ = std::move(text);
  return code;
}

tenure_status KeepSetBuilder::score(tenure_keepset* keepset, uint32_t layer, const float* const* scores,
                                    const uint32_t* n_keep, tenure_error* error) {
  KeepSetBuilder& self = *static_cast<KeepSetBuilder*>(keepset->ctx);
  if (self.open_ != Verbs::scoring && self.open_ != Verbs::selection) {
    return self.refuse(TENURE_INVALID_STATE, "score is for observe and select", error);
  }
  if (layer != self.tables_.layer) {
    return self.refuse(TENURE_BAD_PLAN, fmt::format("score for layer {} in a call on layer {}", layer, self.tables_.layer), error);
  }
  return self.take_scores(scores, n_keep, error);
}

tenure_status KeepSetBuilder::take_scores(const float* const* scores, const uint32_t* n_keep, tenure_error* error) {
  if (scores == nullptr && tables_.n > 0 && tables_[0].state_floats() != 1) {
    return refuse(TENURE_BAD_PLAN, "scores are NULL, which stands for a state of one float a slot", error);
  }
  for (uint32_t i = 0; i < tables_.n; ++i) {
    SlotTable& table = tables_[i];
    const uint32_t n_slots = table.size();
    const float* of_head = scores != nullptr ? scores[i] : table.state().data();
    if (of_head == nullptr && n_slots > 0) {
      return refuse(TENURE_BAD_PLAN, fmt::format("the scores of head {} are NULL", i), error);
    }
    if (n_not_finite(of_head, n_slots) == 0) continue;
    const auto* bad = std::find_if(of_head, of_head + n_slots, [](float s) { return !std::isfinite(s); });
    return refuse(TENURE_NUMERIC, fmt::format("score of slot {} of head {} is {}", bad - of_head, i, *bad), error);
  }
  uint64_t n_asked = 0;
  for (uint32_t i = 0; n_keep != nullptr && i < tables_.n; ++i) n_asked += n_keep[i];
  if (n_asked > tables_.budget) {
    return refuse(TENURE_BAD_PLAN, fmt::format("n_keep adds up to {} where the budget is {}", n_asked, tables_.budget), error);
  }
  for (uint32_t i = 0; i < tables_.n; ++i) {
    SlotTable& table = tables_[i];
    table.set_own_budget(n_keep != nullptr ? n_keep[i] : UINT32_MAX);
    if (scores == nullptr) {
      table.score_by_state();
    } else {
      std::copy_n(scores[i], table.size(), table.set_score().begin());
    }
  }
  return TENURE_OK;
}

tenure_status KeepSetBuilder::keep(tenure_keepset* keepset, uint32_t layer, const uint32_t* offsets,
                                   const uint32_t* slots, tenure_error* error) {
  KeepSetBuilder& self = *static_cast<KeepSetBuilder*>(keepset->ctx);
  if (self.open_ != Verbs::selection) return self.refuse(TENURE_INVALID_STATE, "keep is for select", error);
  if (layer != self.tables_.layer) {
    return self.refuse(TENURE_BAD_PLAN, fmt::format("keep for layer {} in a call on layer {}", layer, self.tables_.layer), error);
  }
  return self.take_kept(offsets, slots, error);
}

std::string KeepSetBuilder::check_kept(const SlotTable& table, std::span<const uint32_t> slots) const {
  for (size_t i = 0; i < slots.size(); ++i) {
    if (slots[i] >= table.size()) return fmt::format("slot {} is out of range, it holds {}", slots[i], table.size());
    if (i > 0 && slots[i] == slots[i - 1]) return fmt::format("slot {} is named twice", slots[i]);
    if (i > 0 && slots[i] < slots[i - 1]) return fmt::format("slots are not ascending at {}", slots[i]);
  }
  size_t next = 0;
  for (uint32_t slot = 0; slot < table.size(); ++slot) {
    const bool named = next < slots.size() && slots[next] == slot;
    next += named ? 1 : 0;
    if (table.flags()[slot] != 0 && !named) {
      return fmt::format("protected slot {} (position {}) is left out", slot, table.pos()[slot]);
    }
  }
  return {};
}

tenure_status KeepSetBuilder::take_kept(const uint32_t* offsets, const uint32_t* slots, tenure_error* error) {
  if (offsets == nullptr) return refuse(TENURE_BAD_PLAN, "offsets are NULL", error);
  uint64_t n_kept = 0;
  uint32_t previous = 0;
  for (uint32_t i = 0; i < tables_.n; ++i) {
    const SlotTable& table = tables_[i];
    if (offsets[i] != previous || offsets[i + 1] < offsets[i] || offsets[i + 1] - offsets[i] > table.size()) {
      return refuse(TENURE_BAD_PLAN, fmt::format("head {}: offsets {} to {} do not fit its {} slots", i, offsets[i],
                                                 offsets[i + 1], table.size()), error);
    }
    previous = offsets[i + 1];
    if (slots == nullptr && previous > 0) return refuse(TENURE_BAD_PLAN, "slots are NULL", error);
    const std::span<const uint32_t> named(slots + offsets[i], slots + offsets[i + 1]);
    if (std::string problem = check_kept(table, named); !problem.empty()) {
      return refuse(TENURE_BAD_PLAN, fmt::format("head {}: {}", i, problem), error);
    }
    keep_[i].assign(named.begin(), named.end());
    for (uint32_t slot : named) n_kept += (table.flags()[slot] & TENURE_SLOT_REBUILT) != 0 ? 0 : 1;
  }
  if (n_kept > tables_.budget) {
    return refuse(TENURE_BAD_PLAN, fmt::format("{} slots kept where the budget is {}", n_kept, tables_.budget), error);
  }
  kept_ = true;
  return TENURE_OK;
}

tenure_status KeepSetBuilder::rebuild(tenure_keepset* keepset, int32_t first_pos, uint32_t n, tenure_error* error) {
  KeepSetBuilder& self = *static_cast<KeepSetBuilder*>(keepset->ctx);
  if (self.open_ != Verbs::rebuild) return self.refuse(TENURE_INVALID_STATE, "rebuild is for prepare", error);
  const int64_t end = int64_t{first_pos} + n;
  if (first_pos < 0 || n == 0 || end > static_cast<int64_t>(self.released_.size())) {
    return self.refuse(TENURE_BAD_PLAN, fmt::format("positions {} to {} were never fed ({} were)", first_pos, end,
                                                    self.released_.size()), error);
  }
  for (int64_t pos = first_pos; pos < end; ++pos) {
    if (self.released_[static_cast<size_t>(pos)] == 0) {
      return self.refuse(TENURE_BAD_PLAN, fmt::format("position {} is not released", pos), error);
    }
  }
  self.n_rebuild_rows_ += n;
  if (self.n_rebuild_rows_ > self.max_rebuild_rows_) {
    return self.refuse(TENURE_BAD_PLAN, fmt::format("{} positions to rebuild where max_rebuild_rows is {}",
                                                    self.n_rebuild_rows_, self.max_rebuild_rows_), error);
  }
  self.rebuilds_.push_back({.first = first_pos, .n = n});
  return TENURE_OK;
}

}  // namespace tenure
