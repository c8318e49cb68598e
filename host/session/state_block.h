// A policy's per-sequence state: host-owned, 64-byte aligned, zero at first, copied by a fork.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tenure {

class StateBlock {
 public:
  explicit StateBlock(uint64_t bytes = 0) : lines_((bytes + sizeof(Line) - 1) / sizeof(Line)) {}
  void* data() { return lines_.empty() ? nullptr : lines_.data(); }
  uint64_t bytes() const { return lines_.size() * sizeof(Line); }

 private:
  struct alignas(64) Line {
    std::byte bytes[64] = {};
  };
  std::vector<Line> lines_;
};

}  // namespace tenure
