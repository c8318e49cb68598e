#include "memory.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <vector>

namespace tenure::cpu {

TEST_CASE("arena - collapsing keeps every byte, also while it is being read") {
  constexpr uint64_t kPiece = uint64_t{3} << 20;
  Arena arena;
  std::vector<std::byte*> pieces;
  for (int i = 0; i < 8; ++i) {
    pieces.push_back(arena.take(kPiece));
    REQUIRE(pieces.back() != nullptr);
    REQUIRE(std::ranges::all_of(pieces.back(), pieces.back() + kPiece,
                                [](std::byte b) { return b == std::byte{0}; }));
    std::fill_n(pieces.back(), kPiece, std::byte(i + 1));
  }
  arena.collapse();
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(400);
  do {
    for (int i = 0; i < 8; ++i) {
      REQUIRE(std::ranges::all_of(pieces[i], pieces[i] + kPiece,
                                  [i](std::byte b) { return b == std::byte(i + 1); }));
    }
  } while (std::chrono::steady_clock::now() < until);
}

TEST_CASE("arena - goes away while it waits to collapse") {
  Arena arena;
  REQUIRE(arena.take(uint64_t{4} << 20) != nullptr);
  arena.collapse();
  // The thread that waits must neither outlive the blocks, which crashes, nor keep them for ever.
}

}  // namespace tenure::cpu
