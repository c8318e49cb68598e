// One sequence's KV cache: per (layer, KV head) a ragged list of slots in pages of a shared pool. append, release with
// settle, and the trimming of windows are the only mutators. Knows no model and no policy. Engine's thread only, but for what
// says otherwise.
//
// A layer with a window is the cache's own: it loses what no coming row sees, and no policy is shown it. Layers of one
// window hold the same positions, so they share one table; those tables come after the policy's.
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
  std::vector<uint32_t> windows;       // (n_layers) positions a row sees at most; 0 = all
  uint32_t trim_slots = 0;             // a window loses its oldest slots so many at a time: whole runs; 0 = none
  uint32_t batch_rows = 0;             // rows that one forward adds at most
  uint32_t granularity = TENURE_GRANULARITY_KV_HEAD;
  SlotArrays arrays;
  bool mass = false;  // attention mass is accumulated for every slot

  // The most slots of a head in `layer` where a policy's hold n_slots, after n_fed tokens.
  uint64_t slots_in(uint32_t layer, uint64_t n_slots, uint64_t n_fed) const;
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
  uint32_t head_dim(uint32_t layer) const { return config_.head_dims[layer]; }
  uint32_t n_heads() const { return static_cast<uint32_t>(pages_.size()); }  // summed over layers
  const PagePool& pool(uint32_t layer) const { return *config_.pools[layer]; }
  const KvAccount& account() const { return account_; }
  uint64_t bytes() const;  // of the pages this sequence holds, those it shares with forks included

  // The policy's tables; a layer with a window has none.
  uint32_t n_tables() const { return n_tables_; }
  uint32_t n_heads_decided() const { return n_heads_decided_; }  // KV heads they are about, summed over layers
  SlotTable& table(uint32_t index) { return tables_[index]; }
  const SlotTable& table(uint32_t index) const { return tables_[index]; }
  // Tables of a layer are consecutive; with granularity token there is one for all layers.
  uint32_t first_table(uint32_t layer) const { return table_of_head_[head_index(layer, 0)]; }
  uint32_t n_tables_of(uint32_t layer) const;
  const SlotTable& table_of(uint32_t layer, uint32_t head) const { return tables_[table_index(layer, head)]; }
  // (n_slots) attention mass of one KV head since clear_mass(); empty unless config.mass, and under a window.
  std::span<const float> mass(uint32_t layer, uint32_t head) const { return mass_[head_index(layer, head)]; }
  void clear_mass(uint32_t layer);  // TENURE_ALL_LAYERS: of all. Any thread, layers apart from each other
  // All slots of one KV head for Backend::cache_read; k and v are the caller's to set. Valid until the cache changes.
  tenure_kv_read all_slots(uint32_t layer, uint32_t head) const;

  // A step: begin_step, then the rows of the coming forward in the order of their segments. Pages are reserved at once.
  // False when the pool is used up.
  void begin_step() { n_appended_ = 0; }
  bool append(int32_t first_pos, uint32_t n_rows);
  // Only heads that do not hold a position take it; others are masked. Returns false when the pool is used up.
  bool append_rebuilt(int32_t first_pos, uint32_t n_rows);
  // The view of segment `segment` (counting the appends since begin_step) for one KV head. Pointers live until the next
  // call that changes the cache.
  tenure_kv_view view(uint32_t layer, uint32_t head, uint32_t segment);

  // Releases what `keep` leaves out of a table, at most once until settle(), and before anything else changes the cache.
  // compact: survivors keep their slot order (after a chunk); else the last slot moves into each hole (decode). Any thread:
  // tables apart from each other may be released from at the same time.
  void release(uint32_t table, const KeptSlots& keep, bool compact);
  // The same of one slot, without compaction.
  void release_slot(uint32_t table, uint32_t slot);
  // Moves what was released from all tables, in one call so that the backend's workers share it; then pages go back.
  // Released positions are appended, once a table. Blocks until the moves are done.
  Status settle(std::vector<int32_t>& released);

  // Layers with a window lose whole trim_slots that rows from next_pos on do not see; pages go back at once.
  void trim_windows(int32_t next_pos);

  // Room in the side arrays, so that appends up to there allocate nothing: n_slots in a policy's layers, n_fed tokens fed.
  void reserve(uint32_t n_slots, uint32_t n_fed);

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
  struct Release {  // of one table, until settle()
    bool is_due = false;
    Moves moves;
    std::vector<int32_t> positions;
  };

  uint32_t head_index(uint32_t layer, uint32_t head) const { return first_head_[layer] + head; }
  uint32_t table_index(uint32_t layer, uint32_t head) const { return table_of_head_[head_index(layer, head)]; }
  void make_tables();
  Appended& next_appended(int32_t first_pos);
  bool grow(uint32_t table, uint32_t first_slot);
  Status make_private(uint32_t head, uint32_t first_slot, uint32_t n_slots);
  void move_mass(uint32_t table);
  Status add_moves(uint32_t table);
  Status shrink(uint32_t table);
  Status flatten_rotation(uint32_t table);

  Backend& backend_;
  const DeviceWeights& weights_;
  KvConfig config_;
  KvAccount& account_;
  std::vector<uint32_t> first_head_;          // (n_layers)
  std::vector<uint32_t> layer_of_head_;       // (n_heads)
  std::vector<uint32_t> table_of_head_;       // (n_heads)
  std::vector<std::vector<uint32_t>> heads_of_table_;
  std::vector<uint32_t> window_of_table_;     // 0 for the policy's
  uint32_t n_tables_ = 0;
  uint32_t n_heads_decided_ = 0;
  std::vector<SlotTable> tables_;
  std::vector<std::vector<uint32_t>> pages_;  // (n_heads)
  std::vector<std::vector<float>> mass_;      // (n_heads)
  std::vector<Appended> appended_;            // kept between steps so that decode allocates nothing
  uint32_t n_appended_ = 0;
  std::vector<Release> releases_;             // (n_tables)
  // Arguments of backend calls, alive until the next synchronize.
  std::vector<tenure_kv_moves> kv_moves_;
  std::vector<tenure_page_copy> copies_;
  std::vector<tenure_kv_rotation> rotations_;
  std::vector<int32_t> deltas_;
};

}  // namespace tenure
