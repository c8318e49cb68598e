#include "memory.h"

#include <linux/mman.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <utility>

namespace tenure::cpu {
namespace {

constexpr uint64_t kHugePage = uint64_t{2} << 20;
// Address space only: what is not touched costs nothing.
constexpr uint64_t kArenaBlock = uint64_t{64} << 20;
// Until the first token is likely out: collapsing takes a core for 2 s a GB.
constexpr std::chrono::milliseconds kFirstToken{250};

// Kernels before 6.1 cannot.
bool can_collapse() {
  static const bool can = madvise(nullptr, 0, MADV_COLLAPSE) == 0;
  return can;
}

}  // namespace

Block::Block(Block&& other) noexcept {
  *this = std::move(other);
}

Block& Block::operator=(Block&& other) noexcept {
  std::swap(base_, other.base_);
  std::swap(mapped_, other.mapped_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Block::~Block() {
  if (base_) munmap(base_, mapped_);
}

Block Block::map(uint64_t bytes, Pages pages) {
  Block block;
  const bool huge = bytes >= kHugePage;
  const uint64_t mapped = bytes + (huge ? kHugePage : 0);
  if (bytes == 0 || mapped < bytes) return block;
  void* base =
      mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return block;
  block.base_ = base;
  block.mapped_ = mapped;
  block.data_ = static_cast<std::byte*>(base);
  block.bytes_ = bytes;
  if (huge) {
    const uint64_t address = reinterpret_cast<uintptr_t>(base);
    block.data_ += (kHugePage - address % kHugePage) % kHugePage;
    // Advice: kernels without huge pages refuse it, and the memory works all the same.
    if (pages == Pages::huge_when_touched || !can_collapse())
      (void)madvise(block.data_, bytes, MADV_HUGEPAGE);
  }
  return block;
}

std::byte* Arena::take(uint64_t bytes) {
  const uint64_t rounded = (bytes + 63) / 64 * 64;
  if (blocks_.empty() || blocks_.back().bytes() - used_ < rounded) {
    Block block = Block::map(std::max(rounded, kArenaBlock), Block::Pages::huge_when_collapsed);
    if (!block.data()) return nullptr;
    blocks_.push_back(std::move(block));
    used_ = 0;
  }
  std::byte* piece = blocks_.back().data() + used_;
  used_ += rounded;
  taken_ += rounded;
  return piece;
}

void Arena::collapse() {
  if (!can_collapse()) return;
  collapsing_ = std::jthread([this](const std::stop_token& stop) {
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable_any().wait_for(lock, stop, kFirstToken, [] { return false; });
    for (const Block& block : blocks_) {
      const uint64_t used = &block == &blocks_.back() ? used_ : block.bytes();
      for (uint64_t at = 0; at < used && !stop.stop_requested(); at += kHugePage) {
        // Refused where the system has no 2 MiB page left: that piece stays on small ones.
        (void)madvise(block.data() + at, std::min(kHugePage, block.bytes() - at), MADV_COLLAPSE);
      }
    }
  });
}

}  // namespace tenure::cpu
