#include "cache/page_pool.h"

#include <algorithm>

namespace tenure {

PagePool::PagePool(Backend& backend, uint32_t head_dim, Dtype k_type, Dtype v_type, uint64_t capacity_bytes)
    : layout_(backend.page_layout(head_dim, k_type, v_type)) {
  const uint64_t n_runs = std::max<uint64_t>(1, capacity_bytes / run_bytes());
  buffer_ = backend.alloc(n_runs * run_bytes(), MemoryKind::pool);
  kv_ = {.base = buffer_.data(),
         .page_bytes = layout_.page_bytes,
         .k_type = static_cast<uint32_t>(k_type),
         .v_type = static_cast<uint32_t>(v_type)};
  references_.assign(n_runs, 0);
}

uint32_t PagePool::find_free(uint32_t from) const {
  const auto it = std::find(references_.begin() + from, references_.end(), 0u);
  return static_cast<uint32_t>(it - references_.begin());
}

bool PagePool::take(uint32_t n_runs, KvAccount& account, std::vector<uint32_t>& pages) {
  if (n_used_ + n_runs > references_.size()) return false;
  uint32_t run = lowest_free_;
  for (uint32_t i = 0; i < n_runs; ++i) {
    run = find_free(run);
    references_[run] = 1;
    for (uint32_t page = 0; page < run_pages; ++page) pages.push_back(run * run_pages + page);
    ++run;
  }
  if (n_runs > 0) lowest_free_ = run;
  n_used_ += n_runs;
  n_peak_ = std::max(n_peak_, n_used_);
  account.bytes += n_runs * run_bytes();
  account.peak_bytes = std::max(account.peak_bytes, account.bytes);
  return true;
}

void PagePool::share(std::span<const uint32_t> pages) {
  for (size_t i = 0; i < pages.size(); i += run_pages) ++references_[pages[i] / run_pages];
}

void PagePool::release(std::span<const uint32_t> pages, KvAccount& account) {
  for (size_t i = 0; i < pages.size(); i += run_pages) {
    const uint32_t run = pages[i] / run_pages;
    if (--references_[run] > 0) continue;
    lowest_free_ = std::min(lowest_free_, run);
    --n_used_;
    account.bytes -= run_bytes();
  }
}

}  // namespace tenure
