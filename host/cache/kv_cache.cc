#include "cache/kv_cache.h"

#include <algorithm>
#include <utility>

namespace tenure {
namespace {

// More runs than this in rank mode and the keys are re-rotated: each run costs attention one query rotation a row.
constexpr uint32_t max_gap_runs = 8;

}  // namespace

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
  uint32_t n_tables = 1;
  if (config_.granularity == TENURE_GRANULARITY_LAYER) n_tables = n_layers();
  if (config_.granularity == TENURE_GRANULARITY_KV_HEAD) n_tables = n_heads;
  tables_.assign(n_tables, SlotTable(config_.arrays));
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

uint32_t KvCache::first_table(uint32_t layer) const {
  if (config_.granularity == TENURE_GRANULARITY_TOKEN) return 0;
  return config_.granularity == TENURE_GRANULARITY_LAYER ? layer : first_head_[layer];
}

uint32_t KvCache::n_tables_of(uint32_t layer) const {
  return config_.granularity == TENURE_GRANULARITY_KV_HEAD ? n_kv_heads(layer) : 1;
}

uint32_t KvCache::table_index(uint32_t layer, uint32_t head) const {
  return first_table(layer) + (config_.granularity == TENURE_GRANULARITY_KV_HEAD ? head : 0);
}

template <typename F>
void KvCache::for_heads_of(uint32_t table, F&& f) const {
  if (config_.granularity == TENURE_GRANULARITY_KV_HEAD) return f(table);
  uint32_t first = 0;
  uint32_t last = n_heads();
  if (config_.granularity == TENURE_GRANULARITY_LAYER) {
    first = first_head_[table];
    last = first + config_.n_kv_heads[table];
  }
  for (uint32_t head = first; head < last; ++head) f(head);
}

void KvCache::reserve(uint32_t n_slots) {
  for (SlotTable& table : tables_) table.reserve(n_slots);
  for (uint32_t head = 0; head < n_heads(); ++head) {
    const PagePool& of_layer = pool(layer_of_head_[head]);
    pages_[head].reserve(size_t{of_layer.runs_for(n_slots)} * run_pages);
    if (config_.mass) mass_[head].reserve(n_slots);
  }
}

void KvCache::clear_mass() {
  for (std::vector<float>& mass : mass_) std::fill(mass.begin(), mass.end(), 0.0f);
}

// Pages for slots [first_slot, size) of every head of the table; a shared run that will be written is copied first.
bool KvCache::grow(uint32_t table, uint32_t first_slot) {
  const uint32_t n_slots = tables_[table].size();
  bool ok = true;
  for_heads_of(table, [&](uint32_t head) {
    if (!ok) return;
    PagePool& of_layer = *config_.pools[layer_of_head_[head]];
    const uint32_t have = static_cast<uint32_t>(pages_[head].size()) / run_pages;
    const uint32_t want = of_layer.runs_for(n_slots);
    if (first_slot < have * of_layer.run_slots()) ok = make_private(head, first_slot, 1).ok();
    if (ok && want > have) ok = of_layer.take(want - have, account_, pages_[head]);
    if (config_.mass) mass_[head].resize(n_slots, 0.0f);
  });
  return ok;
}

KvCache::Appended& KvCache::next_appended(int32_t first_pos) {
  if (n_appended_ == appended_.size()) {
    appended_.emplace_back();
    appended_.back().tables.resize(n_tables());
  }
  Appended& appended = appended_[n_appended_++];
  appended.first_pos = first_pos;
  return appended;
}

bool KvCache::append(int32_t first_pos, uint32_t n_rows) {
  Appended& appended = next_appended(first_pos);
  bool ok = true;
  for (uint32_t index = 0; index < n_tables(); ++index) {
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
      .mass = config_.mass ? mass_[at].data() : nullptr,
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

Status KvCache::move_pages(uint32_t table, const Moves& moves) {
  kv_moves_.clear();
  Status status;
  for_heads_of(table, [&](uint32_t head) {
    const uint32_t layer = layer_of_head_[head];
    if (!status.ok() || moves.empty()) return;
    status = make_private(head, moves.front().dst, moves.back().dst - moves.front().dst + 1);
    kv_moves_.push_back({.pool = &config_.pools[layer]->kv(),
                         .pages = pages_[head].data(),
                         .moves = moves.data(),
                         .n_moves = static_cast<uint32_t>(moves.size()),
                         .head_dim = config_.head_dims[layer]});
    if (!config_.mass) return;
    for (const tenure_kv_move& move : moves) mass_[head][move.dst] = mass_[head][move.src];
  });
  if (!status.ok() || moves.empty()) return status;
  status = backend_.cache_move(kv_moves_);
  return status.ok() ? backend_.synchronize() : status;
}

Status KvCache::apply(uint32_t first, std::span<const KeptSlots> keep, bool compact, std::vector<int32_t>& released) {
  for (uint32_t i = 0; i < keep.size(); ++i) {
    const uint32_t index = first + i;
    SlotTable& table = tables_[index];
    if (keep[i].size() == table.size()) continue;
    moves_.clear();
    table.apply(keep[i], compact, moves_, released);
    if (Status status = move_pages(index, moves_); !status.ok()) return status;
    for_heads_of(index, [&](uint32_t head) {
      PagePool& of_layer = *config_.pools[layer_of_head_[head]];
      std::vector<uint32_t>& pages = pages_[head];
      const size_t n_pages = size_t{of_layer.runs_for(table.size())} * run_pages;
      of_layer.release(std::span(pages).subspan(n_pages), account_);
      pages.resize(n_pages);
      if (config_.mass) mass_[head].resize(table.size());
    });
    if (table.tracks_rank() && table.n_gap_runs() > max_gap_runs) {
      if (Status status = flatten_rotation(index); !status.ok()) return status;
    }
  }
  return {};
}

Status KvCache::flatten_rotation(uint32_t index) {
  SlotTable& table = tables_[index];
  deltas_.clear();
  for (int32_t gap : table.gap()) deltas_.push_back(-gap);
  rotations_.clear();
  Status status;
  for_heads_of(index, [&](uint32_t head) {
    const uint32_t layer = layer_of_head_[head];
    if (status.ok()) status = make_private(head, 0, table.size());
    rotations_.push_back({.pool = &config_.pools[layer]->kv(),
                          .pages = pages_[head].data(),
                          .delta = deltas_.data(),
                          .n_slots = table.size(),
                          .layer = layer});
  });
  if (!status.ok()) return status;
  status = backend_.cache_rotate(weights_, rotations_);
  table.clear_gaps();
  return status.ok() ? backend_.synchronize() : status;
}

}  // namespace tenure
