#include "cache/kv_cache.h"

#include <algorithm>
#include <utility>

namespace tenure {
namespace {

// More runs than this in rank mode and the keys are re-rotated: each run costs attention one query rotation a row.
constexpr uint32_t max_gap_runs = 8;

}  // namespace

uint64_t KvConfig::slots_in(uint32_t layer, uint64_t n_slots, uint64_t n_fed) const {
  if (windows[layer] == 0) return n_slots;
  if (trim_slots == 0) return n_fed;
  return std::min<uint64_t>(n_fed, uint64_t{windows[layer]} + batch_rows + trim_slots);
}

KvCache::KvCache(Backend& backend, const DeviceWeights& weights, KvConfig config, KvAccount& account)
    : backend_(backend), weights_(weights), config_(std::move(config)), account_(account) {
  uint32_t n_heads = 0;
  for (uint32_t layer = 0; layer < n_layers(); ++layer) {
    first_head_.push_back(n_heads);
    n_heads += config_.n_kv_heads[layer];
    layer_of_head_.resize(n_heads, layer);
  }
  pages_.resize(n_heads);
  mass_.resize(n_heads);
  make_tables();
}

// One table for all heads that share a kept set, then one for each window.
void KvCache::make_tables() {
  const auto join = [&](uint32_t table, uint32_t layer, uint32_t head) {
    heads_of_table_.resize(std::max<size_t>(heads_of_table_.size(), table + 1));
    heads_of_table_[table].push_back(head_index(layer, head));
    table_of_head_[head_index(layer, head)] = table;
  };
  table_of_head_.resize(n_heads());
  for (uint32_t layer = 0; layer < n_layers(); ++layer) {
    if (config_.windows[layer] != 0) continue;
    const bool is_shared_with_last = config_.granularity == TENURE_GRANULARITY_TOKEN && n_tables_ > 0;
    for (uint32_t head = 0; head < n_kv_heads(layer); ++head) {
      if (config_.granularity == TENURE_GRANULARITY_KV_HEAD || (head == 0 && !is_shared_with_last)) ++n_tables_;
      join(n_tables_ - 1, layer, head);
      ++n_heads_decided_;
    }
  }
  window_of_table_.assign(n_tables_, 0);
  tables_.assign(n_tables_, SlotTable(config_.arrays));
  releases_.resize(n_tables_);
  for (uint32_t layer = 0; layer < n_layers(); ++layer) {
    const uint32_t window = config_.windows[layer];
    if (window == 0) continue;
    const auto same = std::find(window_of_table_.begin(), window_of_table_.end(), window);
    const auto table = static_cast<uint32_t>(same - window_of_table_.begin());
    if (same == window_of_table_.end()) {
      window_of_table_.push_back(window);
      tables_.emplace_back(SlotArrays{});
    }
    for (uint32_t head = 0; head < n_kv_heads(layer); ++head) join(table, layer, head);
  }
}

KvCache::~KvCache() {
  for (uint32_t head = 0; head < n_heads(); ++head) config_.pools[layer_of_head_[head]]->release(pages_[head], account_);
}

std::unique_ptr<KvCache> KvCache::fork() const {
  auto copy = std::make_unique<KvCache>(backend_, weights_, config_, account_);
  copy->tables_ = tables_;
  copy->pages_ = pages_;
  copy->mass_ = mass_;
  for (uint32_t head = 0; head < n_heads(); ++head) config_.pools[layer_of_head_[head]]->share(pages_[head]);
  return copy;
}

uint64_t KvCache::bytes() const {
  uint64_t bytes = 0;
  for (uint32_t head = 0; head < n_heads(); ++head) bytes += pages_[head].size() / run_pages * pool(layer_of_head_[head]).run_bytes();
  return bytes;
}

uint32_t KvCache::n_tables_of(uint32_t layer) const {
  if (config_.windows[layer] != 0) return 0;
  return config_.granularity == TENURE_GRANULARITY_KV_HEAD ? n_kv_heads(layer) : 1;
}

void KvCache::reserve(uint32_t n_slots, uint32_t n_fed) {
  kv_moves_.reserve(n_heads());
  for (Release& release : releases_) {
    release.moves.reserve(1);
    release.positions.reserve(1);
  }
  for (size_t i = 0; i < tables_.size(); ++i) {
    const uint32_t layer = layer_of_head_[heads_of_table_[i].front()];
    const auto most = static_cast<uint32_t>(config_.slots_in(layer, n_slots, n_fed));
    tables_[i].reserve(most);
    for (uint32_t head : heads_of_table_[i]) {
      pages_[head].reserve(size_t{pool(layer_of_head_[head]).runs_for(most)} * run_pages);
      if (config_.mass && i < n_tables_) mass_[head].reserve(most);
    }
  }
}

void KvCache::clear_mass(uint32_t layer) {
  const bool all = layer == TENURE_ALL_LAYERS;
  const uint32_t first = all ? 0 : first_head_[layer];
  const uint32_t n = all ? n_heads() : n_kv_heads(layer);
  for (uint32_t head = first; head < first + n; ++head) std::fill(mass_[head].begin(), mass_[head].end(), 0.0f);
}

// Pages for slots [first_slot, size) of every head of the table; a shared run that will be written is copied first.
bool KvCache::grow(uint32_t table, uint32_t first_slot) {
  const uint32_t n_slots = tables_[table].size();
  for (uint32_t head : heads_of_table_[table]) {
    PagePool& of_layer = *config_.pools[layer_of_head_[head]];
    const uint32_t have = static_cast<uint32_t>(pages_[head].size()) / run_pages;
    const uint32_t want = of_layer.runs_for(n_slots);
    if (first_slot < have * of_layer.run_slots() && !make_private(head, first_slot, 1).ok()) return false;
    if (want > have && !of_layer.take(want - have, account_, pages_[head])) return false;
    if (config_.mass && table < n_tables_) mass_[head].resize(n_slots, 0.0f);
  }
  return true;
}

KvCache::Appended& KvCache::next_appended(int32_t first_pos) {
  if (n_appended_ == appended_.size()) {
    appended_.emplace_back();
    appended_.back().tables.resize(tables_.size());
  }
  Appended& appended = appended_[n_appended_++];
  appended.first_pos = first_pos;
  return appended;
}

bool KvCache::append(int32_t first_pos, uint32_t n_rows) {
  Appended& appended = next_appended(first_pos);
  bool ok = true;
  for (uint32_t index = 0; index < tables_.size(); ++index) {
    SlotTable& table = tables_[index];
    TableRows& rows = appended.tables[index];
    rows.first_slot = rows.n_unmasked = table.size();
    rows.n_in_runs = 0;
    rows.masked = false;
    table.append(first_pos, n_rows);
    ok = ok && grow(index, rows.first_slot);
  }
  return ok;
}

bool KvCache::append_rebuilt(int32_t first_pos, uint32_t n_rows) {
  Appended& appended = next_appended(first_pos);
  bool ok = true;
  for (uint32_t index = 0; index < n_tables(); ++index) {
    SlotTable& table = tables_[index];
    TableRows& rows = appended.tables[index];
    rows.first_slot = table.size();
    rows.n_in_runs = 0;
    const auto pos = table.pos();
    rows.n_unmasked = static_cast<uint32_t>(
        std::find_if(pos.begin(), pos.end(), [&](int32_t p) { return p >= first_pos; }) - pos.begin());
    rows.mask.resize(n_rows);
    const uint32_t n_made = table.append_rebuilt(first_pos, n_rows, rows.mask);
    rows.masked = n_made < n_rows;
    if (n_made > 0) ok = ok && grow(index, rows.first_slot);
  }
  return ok;
}

tenure_kv_view KvCache::view(uint32_t layer, uint32_t head, uint32_t segment) {
  const uint32_t index = table_index(layer, head);
  const SlotTable& table = tables_[index];
  Appended& appended = appended_[segment];
  TableRows& rows = appended.tables[index];
  if (table.tracks_rank() && rows.n_in_runs != table.size()) {
    // Not the gap of the slot at that position: a rebuilt segment's may be an older one, re-rotated since.
    const auto pos = table.pos();
    const auto rank = std::count_if(pos.begin(), pos.end(), [&](int32_t p) { return p < appended.first_pos; });
    rows.runs.clear();
    table.runs_for(appended.first_pos - static_cast<int32_t>(rank), rows.runs);
    rows.n_in_runs = table.size();
  }
  const uint32_t at = head_index(layer, head);
  return {
      .pages = pages_[at].data(),
      .pos = table.pos().data(),
      .mass = mass_[at].empty() ? nullptr : mass_[at].data(),
      .runs = table.tracks_rank() && !rows.runs.empty() ? rows.runs.data() : nullptr,
      .write_mask = rows.masked ? rows.mask.data() : nullptr,
      .n_runs = table.tracks_rank() ? static_cast<uint32_t>(rows.runs.size()) : 0,
      .n_slots = table.size(),
      .n_unmasked = rows.n_unmasked,
      .first_slot = rows.first_slot,
  };
}

// Copies the shared runs among those that hold slots [first_slot, first_slot + n_slots), so that they may be written.
Status KvCache::make_private(uint32_t head, uint32_t first_slot, uint32_t n_slots) {
  PagePool& of_layer = *config_.pools[layer_of_head_[head]];
  std::vector<uint32_t>& pages = pages_[head];
  const uint32_t last = (first_slot + n_slots - 1) / of_layer.run_slots();
  copies_.clear();
  for (uint32_t run = first_slot / of_layer.run_slots(); run <= last; ++run) {
    const auto begin = pages.begin() + run * run_pages;
    if (!of_layer.is_shared(*begin)) continue;
    const std::vector<uint32_t> old(begin, begin + run_pages);
    std::vector<uint32_t> fresh;
    if (!of_layer.take(1, account_, fresh)) return {TENURE_OOM_DEVICE, "cache", "no page left for a copy"};
    for (uint32_t i = 0; i < run_pages; ++i) copies_.push_back({.pool = &of_layer.kv(), .src = old[i], .dst = fresh[i]});
    std::copy(fresh.begin(), fresh.end(), begin);
    of_layer.release(old, account_);
  }
  if (copies_.empty()) return {};
  if (Status status = backend_.cache_copy(copies_); !status.ok()) return status;
  return backend_.synchronize();
}

void KvCache::move_mass(uint32_t table) {
  if (!config_.mass) return;
  for (uint32_t head : heads_of_table_[table]) {
    float* mass = mass_[head].data();
    for (const tenure_kv_move& move : releases_[table].moves) mass[move.dst] = mass[move.src];
  }
}

void KvCache::release(uint32_t table, const KeptSlots& keep, bool compact) {
  if (keep.size() == tables_[table].size()) return;
  Release& release = releases_[table];
  release.is_due = true;
  tables_[table].apply(keep, compact, release.moves, release.positions);
  move_mass(table);
}

void KvCache::release_slot(uint32_t table, uint32_t slot) {
  Release& release = releases_[table];
  release.is_due = true;
  release.positions.push_back(tables_[table].remove(slot, release.moves));
  move_mass(table);
}

// To kv_moves_; the table's moves stay where they are until the backend is done.
Status KvCache::add_moves(uint32_t table) {
  const Moves& moves = releases_[table].moves;
  if (moves.empty()) return {};
  for (uint32_t head : heads_of_table_[table]) {
    const uint32_t layer = layer_of_head_[head];
    Status status = make_private(head, moves.front().dst, moves.back().dst - moves.front().dst + 1);
    if (!status.ok()) return status;
    kv_moves_.push_back({.pool = &config_.pools[layer]->kv(),
                         .pages = pages_[head].data(),
                         .moves = moves.data(),
                         .n_moves = static_cast<uint32_t>(moves.size()),
                         .head_dim = config_.head_dims[layer]});
  }
  return {};
}

Status KvCache::settle(std::vector<int32_t>& released) {
  kv_moves_.clear();
  Status status;
  for (uint32_t table = 0; table < n_tables_ && status.ok(); ++table) {
    if (releases_[table].is_due) status = add_moves(table);
  }
  if (!kv_moves_.empty() && status.ok()) status = backend_.cache_move(kv_moves_);
  if (!kv_moves_.empty() && status.ok()) status = backend_.synchronize();
  for (uint32_t table = 0; table < n_tables_; ++table) {
    Release& release = releases_[table];
    if (!release.is_due) continue;
    if (status.ok()) status = shrink(table);
    released.insert(released.end(), release.positions.begin(), release.positions.end());
    release.is_due = false;
    release.moves.clear();
    release.positions.clear();
  }
  return status;
}

// Pages that hold no slot of the table any more go back.
Status KvCache::shrink(uint32_t index) {
  const SlotTable& table = tables_[index];
  for (uint32_t head : heads_of_table_[index]) {
    PagePool& of_layer = *config_.pools[layer_of_head_[head]];
    std::vector<uint32_t>& pages = pages_[head];
    const size_t n_pages = size_t{of_layer.runs_for(table.size())} * run_pages;
    of_layer.release(std::span(pages).subspan(n_pages), account_);
    pages.resize(n_pages);
    if (config_.mass) mass_[head].resize(table.size());
  }
  const bool scattered = table.tracks_rank() && table.n_gap_runs() > max_gap_runs;
  return scattered ? flatten_rotation(index) : Status{};
}

tenure_kv_read KvCache::all_slots(uint32_t layer, uint32_t head) const {
  return {.pool = &config_.pools[layer]->kv(),
          .pages = pages_[head_index(layer, head)].data(),
          .n_slots = table_of(layer, head).size(),
          .head_dim = config_.head_dims[layer]};
}

void KvCache::trim_windows(int32_t next_pos) {
  if (config_.trim_slots == 0) return;
  for (uint32_t index = n_tables_; index < tables_.size(); ++index) {
    // Slots are in the order of their positions: a window only loses its oldest and takes new ones at the end.
    SlotTable& table = tables_[index];
    const int64_t first_seen = int64_t{next_pos} - window_of_table_[index] + 1;
    const auto pos = table.pos();
    const auto n_unseen = static_cast<uint32_t>(std::lower_bound(pos.begin(), pos.end(), first_seen) - pos.begin());
    const uint32_t n = n_unseen - n_unseen % config_.trim_slots;
    if (n == 0) continue;
    table.drop_front(n);
    for (uint32_t head : heads_of_table_[index]) {
      PagePool& of_layer = *config_.pools[layer_of_head_[head]];
      std::vector<uint32_t>& pages = pages_[head];
      const auto n_pages = static_cast<ptrdiff_t>(n / of_layer.page_slots());
      of_layer.release(std::span(pages).first(static_cast<size_t>(n_pages)), account_);
      pages.erase(pages.begin(), pages.begin() + n_pages);
    }
  }
}

Status KvCache::flatten_rotation(uint32_t index) {
  SlotTable& table = tables_[index];
  deltas_.clear();
  for (int32_t gap : table.gap()) deltas_.push_back(-gap);
  rotations_.clear();
  for (uint32_t head : heads_of_table_[index]) {
    const uint32_t layer = layer_of_head_[head];
    if (Status status = make_private(head, 0, table.size()); !status.ok()) return status;
    rotations_.push_back({.pool = &config_.pools[layer]->kv(),
                          .pages = pages_[head].data(),
                          .delta = deltas_.data(),
                          .n_slots = table.size(),
                          .layer = layer});
  }
  const Status status = backend_.cache_rotate(weights_, rotations_);
  table.clear_gaps();
  return status.ok() ? backend_.synchronize() : status;
}

}  // namespace tenure
