// One sequence's KV cache: per (layer, KV head) a ragged list of slots in pages of a shared pool. append and apply are
// the only mutators. Knows no model and no policy. Engine's thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "cache/page_pool.h"
#include "cache/slot_table.h"

namespace tenure {

struct KvConfig {
  std::vector<PagePool*> pools;        // (n_layers)
  std::vector<uint32_t> n_kv_heads;    // (n_layers)
  std::vector<uint32_t> head_dims;     // (n_layers)
  uint32_t granularity = TENURE_GRANULARITY_KV_HEAD;
  SlotArrays arrays;
  bool mass = false;  // attention mass is accumulated for every slot
};

// Slots of one table that stay, ascending.
using KeptSlots = std::vector<uint32_t>;

class KvCache {
 public:
  // `account` outlives the cache and all its forks; backend and weights too.
  KvCache(Backend& backend, const DeviceWeights& weights, KvConfig config, KvAccount& account);
  ~KvCache();
  KvCache(const KvCache&) = delete;
  KvCache& operator=(const KvCache&) = delete;
  // Shares every page; what either side changes from then on is copied first.
  std::unique_ptr<KvCache> fork() const;

  uint32_t n_layers() const { return static_cast<uint32_t>(config_.n_kv_heads.size()); }
  uint32_t n_kv_heads(uint32_t layer) const { return config_.n_kv_heads[layer]; }
  uint32_t n_heads() const { return static_cast<uint32_t>(pages_.size()); }  // summed over layers
  const PagePool& pool(uint32_t layer) const { return *config_.pools[layer]; }
  const KvAccount& account() const { return account_; }
  uint64_t bytes() const;  // of the pages this sequence holds, those it shares with forks included

  uint32_t n_tables() const { return static_cast<uint32_t>(tables_.size()); }
  SlotTable& table(uint32_t index) { return tables_[index]; }
  const SlotTable& table(uint32_t index) const { return tables_[index]; }
  // Tables of a layer are consecutive; with granularity token there is one for all layers.
  uint32_t first_table(uint32_t layer) const;
  uint32_t n_tables_of(uint32_t layer) const;
  const SlotTable& table_of(uint32_t layer, uint32_t head) const { return tables_[table_index(layer, head)]; }
  // (n_slots) attention mass of one KV head since clear_mass(); empty unless config.mass.
  std::span<const float> mass(uint32_t layer, uint32_t head) const { return mass_[head_index(layer, head)]; }
  void clear_mass();

  // A step: begin_step, then the rows of the coming forward in the order of their segments. Pages are reserved at once.
  // False when the pool is used up.
  void begin_step() { n_appended_ = 0; }
  bool append(int32_t first_pos, uint32_t n_rows);
  // Only heads that do not hold a position take it; others are masked. Returns false when the pool is used up.
  bool append_rebuilt(int32_t first_pos, uint32_t n_rows);
  // The view of segment `segment` (counting the appends since begin_step) for one KV head. Pointers live until the next
  // call that changes the cache.
  tenure_kv_view view(uint32_t layer, uint32_t head, uint32_t segment);

  // Releases what `keep` leaves out of tables [first, first + keep.size()); pages go back at once. compact: survivors keep
  // their slot order (after a chunk); else the last slot moves into each hole (decode). Positions released from any
  // table are appended to `released`, once a table. Blocks until the moves are done.
  Status apply(uint32_t first, std::span<const KeptSlots> keep, bool compact, std::vector<int32_t>& released);

  void reserve(uint32_t n_slots);  // room in the side arrays, so that appends up to there allocate nothing

 private:
  struct TableRows {  // of one append and one table
    uint32_t first_slot = 0;
    uint32_t n_unmasked = 0;
    uint32_t n_in_runs = 0;  // slots that `runs` covers: the heads of a table share them, found once a step
    bool masked = false;
    std::vector<uint8_t> mask;
    std::vector<tenure_kv_run> runs;
  };
  struct Appended {
    int32_t first_pos = 0;
    std::vector<TableRows> tables;
  };

  uint32_t head_index(uint32_t layer, uint32_t head) const { return first_head_[layer] + head; }
  uint32_t table_index(uint32_t layer, uint32_t head) const;
  Appended& next_appended(int32_t first_pos);
  bool grow(uint32_t table, uint32_t first_slot);
  Status make_private(uint32_t head, uint32_t first_slot, uint32_t n_slots);
  Status move_pages(uint32_t table, const Moves& moves);
  Status flatten_rotation(uint32_t table);
  template <typename F>
  void for_heads_of(uint32_t table, F&& f) const;

  Backend& backend_;
  const DeviceWeights& weights_;
  KvConfig config_;
  KvAccount& account_;
  std::vector<uint32_t> first_head_;          // (n_layers)
  std::vector<uint32_t> layer_of_head_;       // (n_heads)
  std::vector<SlotTable> tables_;
  std::vector<std::vector<uint32_t>> pages_;  // (n_heads)
  std::vector<std::vector<float>> mass_;      // (n_heads)
  std::vector<Appended> appended_;            // kept between steps so that decode allocates nothing
  uint32_t n_appended_ = 0;
  // Arguments of backend calls, alive until the next synchronize.
  Moves moves_;
  std::vector<tenure_kv_moves> kv_moves_;
  std::vector<tenure_page_copy> copies_;
  std::vector<tenure_kv_rotation> rotations_;
  std::vector<int32_t> deltas_;
};

}  // namespace tenure
