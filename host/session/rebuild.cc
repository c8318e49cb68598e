// Session's rebuild: spans that prepare names become the first rows of the same forward.
#include <algorithm>

#include "session/session.h"
#include "session/views.h"

namespace tenure {

uint32_t Session::holders(int32_t pos) const {
  uint32_t n = 0;
  for (uint32_t i = 0; i < cache_->n_tables(); ++i) n += cache_->table(i).holds(pos) ? 1 : 0;
  return n;
}

bool Session::prepare(Batch& batch, std::span<const int32_t> rows, uint32_t phase) {
  const Policy& plugin = *policy().policy;
  if (!decides() || !plugin.needs().rebuild || !plugin.has_prepare()) return true;
  const auto began = SessionTimes::Clock::now();
  const tenure_call call{.head = {.struct_size = sizeof(tenure_call)}, .phase = phase};
  prepare_keepset_.open_rebuild(released_, setup_.max_rebuild_rows);
  const Status status = plugin.prepare(call, *prepare_view_.build(*this, TENURE_ALL_LAYERS, phase, {.sequence = &sequence_, .mass = true}), rows,
                                       static_cast<int32_t>(ids_.size()), *prepare_keepset_.abi());
  result_.times.policy += SessionTimes::Clock::now() - began;
  if (Status failure = prepare_keepset_.close(plugin.id(), ".prepare", status, TENURE_OK); !failure.ok()) {
    policy_failed(failure);
    return stage_ != Stage::done;
  }
  rebuilt_.assign(prepare_keepset_.rebuilds().begin(), prepare_keepset_.rebuilds().end());
  if (Status dropped = drop_rebuilt(); !dropped.ok()) {
    policy_failed(dropped);
    return stage_ != Stage::done;
  }
  return add_rebuilt(batch);
}

// Rebuilt slots that rebuilt_ no longer names go.
Status Session::drop_rebuilt() {
  if (!decides() || !has_rebuilt_) return {};
  has_rebuilt_ = !rebuilt_.empty();
  const auto named = [&](int32_t pos) {
    return std::any_of(rebuilt_.begin(), rebuilt_.end(), [&](const PositionSpan& span) {
      return pos >= span.first && pos < span.first + static_cast<int32_t>(span.n);
    });
  };
  for (uint32_t i = 0; i < cache_->n_tables(); ++i) {
    const SlotTable& table = cache_->table(i);
    KeptSlots keep;
    for (uint32_t slot = 0; slot < table.size(); ++slot) {
      const bool is_rebuilt = (table.flags()[slot] & TENURE_SLOT_REBUILT) != 0;
      if (!is_rebuilt || named(table.pos()[slot])) keep.push_back(slot);
    }
    cache_->release(i, keep, true);
  }
  return settle_released();
}

// Rows for the named positions that some head lacks, as segments of consecutive ones.
bool Session::add_rebuilt(Batch& batch) {
  if (rebuilt_.empty()) return true;
  has_rebuilt_ = true;
  uint64_t n_slots = 0;
  for (const PositionSpan& span : rebuilt_) {
    const int32_t end = span.first + static_cast<int32_t>(span.n);
    for (int32_t first = span.first; first < end;) {
      int32_t last = first;
      while (last < end && holders(last) < cache_->n_tables()) ++last;
      if (last == first) {
        ++first;
        continue;
      }
      const auto n = static_cast<uint32_t>(last - first);
      // The positions stay released: what a prepare rebuilt, the next may name again.
      for (int32_t pos = first; pos < last; ++pos) n_slots += cache_->n_tables() - holders(pos);
      if (!cache_->append_rebuilt(first, n)) {
        fail({.code = RowCode::internal, .message = "the page pool is used up: admission reserved too little"});
        return false;
      }
      batch.add({.cache = cache_.get(),
                 .appended = n_appended_++,
                 .kind = TENURE_ROWS_REBUILD,
                 .ids = std::span(ids_).subspan(static_cast<size_t>(first), n),
                 .first_pos = first,
                 .n_mass_rows = 0});
      n_rows_ += n;
      n_rebuild_rows_ += n;
      first = last;
    }
  }
  const uint64_t heads_per_table = cache_->n_heads_decided() / cache_->n_tables();
  result_.rebuilt += n_slots * heads_per_table;
  current().rebuilt += n_slots * heads_per_table;
  result_.rebuild_rows += n_rebuild_rows_;
  uint64_t n_live = 0;
  for (uint32_t i = 0; i < cache_->n_tables(); ++i) {
    const auto flags = cache_->table(i).flags();
    n_live += static_cast<uint64_t>(std::count_if(flags.begin(), flags.end(), [](uint8_t f) { return (f & TENURE_SLOT_REBUILT) != 0; }));
  }
  result_.rebuild_bytes = std::max(result_.rebuild_bytes, n_live * heads_per_table * cache_->pool(0).slot_bytes());
  return true;
}

Status Session::settle_released() {
  released_now_.clear();
  const Status status = cache_->settle(released_now_);
  if (policy().needs().rebuild) {
    for (int32_t pos : released_now_) released_[static_cast<size_t>(pos)] = 1;
  }
  return status;
}

Status Session::settle_cache() {
  const Status status = settle_released();
  if (released_now_.empty()) return status;  // no table has to be there
  const uint64_t n = released_now_.size() * (cache_->n_heads_decided() / cache_->n_tables());
  result_.released += n;
  current().released += n;
  return status;
}

}  // namespace tenure
