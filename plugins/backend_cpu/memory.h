// Zeroed memory straight from the system, large blocks on 2 MiB pages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tenure::cpu {

// Owns one mapping; data() is 2 MiB aligned when it holds at least 2 MiB, else page aligned.
class Block {
 public:
  Block() = default;
  Block(Block&&) noexcept;
  Block& operator=(Block&&) noexcept;
  ~Block();

  // nullptr data when the system has no more.
  static Block map(uint64_t bytes);

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
class Arena {
 public:
  // 64-byte aligned, zeroed; nullptr when the system has no more.
  std::byte* take(uint64_t bytes);
  uint64_t bytes() const { return taken_; }

 private:
  std::vector<Block> blocks_;
  uint64_t used_ = 0;  // of the last block
  uint64_t taken_ = 0;
};

}  // namespace tenure::cpu
