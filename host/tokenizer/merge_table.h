// Byte-pair merges by rank, and their application to one word.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace tenure {

class MergeTable {
 public:
  struct Merge {
    int32_t left;
    int32_t right;
    int32_t merged;
    uint32_t rank;  // the lowest merges first, the leftmost of equals
  };
  static constexpr int32_t none = -1;

  // Pairs must be unique.
  explicit MergeTable(const std::vector<Merge>& merges);

  // Merges `word` (tokens, fewer than 2^31) as far as the table goes and appends the tokens to `out`. Merges
  // that make `without` are left out. O(n log n) in the word's length, without recursion: prompts hold
  // megabytes of one character. Thread-safe.
  void apply(const std::vector<int32_t>& word, std::vector<int32_t>& out, int32_t without = none) const;

 private:
  struct Entry {
    uint64_t pair = empty;  // left << 32 | right
    uint32_t rank = 0;
    int32_t merged = 0;
  };
  struct Symbol;
  struct Candidate;
  static constexpr uint64_t empty = ~uint64_t{0};

  const Entry* find(int32_t left, int32_t right) const;
  std::optional<Candidate> candidate(const std::vector<Symbol>& symbols, int32_t left, int32_t without) const;
  void merge_all(std::vector<Symbol>& symbols, int32_t without) const;

  std::vector<Entry> slots_;  // open addressing; a power of two, at most half full
};

}  // namespace tenure
