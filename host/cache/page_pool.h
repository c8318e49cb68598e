// Pages of one size, handed out in runs of four consecutive pages from one buffer of the backend. Reference counts let
// forks share runs. Engine's thread only.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "plugin/backend.h"

namespace tenure {

constexpr uint32_t run_pages = 4;  // lone scattered pages cost attention 1.3-1.7x, runs of four <= 1.1x

// What one request holds, as handed out by pools. Forks of a request share its account, so a shared run counts once.
struct KvAccount {
  uint64_t bytes = 0;
  uint64_t peak_bytes = 0;
};

class PagePool {
 public:
  // Reserves address space for capacity_bytes; memory is touched as pages are used. Throws Error.
  PagePool(Backend& backend, uint32_t head_dim, Dtype k_type, Dtype v_type, uint64_t capacity_bytes);
  PagePool(const PagePool&) = delete;
  PagePool& operator=(const PagePool&) = delete;

  const tenure_kv_pool& kv() const { return kv_; }
  uint32_t page_slots() const { return layout_.page_slots; }
  uint32_t run_slots() const { return layout_.page_slots * run_pages; }
  uint64_t run_bytes() const { return layout_.page_bytes * run_pages; }
  uint64_t slot_bytes() const { return layout_.page_bytes / layout_.page_slots; }
  uint32_t runs_for(uint64_t n_slots) const {
    return static_cast<uint32_t>((n_slots + run_slots() - 1) / run_slots());
  }

  // Appends the page indices of n_runs new runs, adjacent runs where there are any. False, and nothing taken, when the
  // pool is used up: admission has reserved, so that is an error of ours.
  bool take(uint32_t n_runs, KvAccount& account, std::vector<uint32_t>& pages);
  // `pages` are whole runs. share adds a holder, release drops one; the last one frees the run at once.
  void share(std::span<const uint32_t> pages);
  void release(std::span<const uint32_t> pages, KvAccount& account);
  bool is_shared(uint32_t page) const { return references_[page / run_pages] > 1; }

  uint64_t bytes_in_use() const { return n_used_ * run_bytes(); }
  uint64_t peak_bytes() const { return n_peak_ * run_bytes(); }
  void forget_peak() { n_peak_ = n_used_; }

 private:
  uint32_t find_free(uint32_t from) const;

  tenure_page_layout layout_;
  DeviceBuffer buffer_;
  tenure_kv_pool kv_;
  std::vector<uint32_t> references_;  // (runs) 0 = free
  uint32_t lowest_free_ = 0;          // no free run below; low indices first keeps the resident set small
  uint64_t n_used_ = 0;
  uint64_t n_peak_ = 0;
};

}  // namespace tenure
