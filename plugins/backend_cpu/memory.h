// Zeroed memory straight from the system, large blocks on 2 MiB pages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

namespace tenure::cpu {

// Owns one mapping; data() is 2 MiB aligned when it holds at least 2 MiB, else page aligned.
class Block {
 public:
  Block() = default;
  Block(Block&&) noexcept;
  Block& operator=(Block&&) noexcept;
  ~Block();

  enum class Pages : uint8_t { huge_when_touched, huge_when_collapsed };

  // nullptr data when the system has no more.
  static Block map(uint64_t bytes, Pages = Pages::huge_when_touched);

  std::byte* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }

 private:
  void* base_ = nullptr;
  uint64_t mapped_ = 0;
  std::byte* data_ = nullptr;
  uint64_t bytes_ = 0;
};

// Hands out pieces that live as long as the arena. Few large mappings: weights of a model share their 2 MiB
// pages.
//
// Pieces are first touched on small pages and collapse() makes them 2 MiB pages behind the caller's back. A
// virtual machine that gives free memory back to its host has to fetch every fresh 2 MiB page from there
// (measured: 160 MB in 0.3 s, in small pages 0.05 s), which is most of the time a small model takes to load;
// and small pages alone cost decoding 6 % (Q8_0) to 25 % (Q4_0).
class Arena {
 public:
  // 64-byte aligned, zeroed; nullptr when the system has no more. Not once collapse() was called.
  std::byte* take(uint64_t bytes);
  // Returns at once. What was taken keeps its address and contents throughout.
  void collapse();
  uint64_t bytes() const { return taken_; }

 private:
  std::vector<Block> blocks_;
  uint64_t used_ = 0;  // of the last block
  uint64_t taken_ = 0;
  std::jthread collapsing_;  // last: it ends before the blocks do
};

}  // namespace tenure::cpu
