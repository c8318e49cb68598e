#include "tokenizer/merge_table.h"

#include <algorithm>
#include <bit>

namespace tenure {
namespace {

uint64_t pair_of(int32_t left, int32_t right) {
  return (uint64_t{static_cast<uint32_t>(left)} << 32) | static_cast<uint32_t>(right);
}

size_t slot_of(uint64_t pair, size_t n_slots) {
  return (pair * 0x9E3779B97F4A7C15u) >> (64 - std::countr_zero(n_slots));
}

}  // namespace

// A doubly linked list in an array: merging joins a symbol with its right neighbour.
struct MergeTable::Symbol {
  int32_t token;
  int32_t previous;
  int32_t next;
};

struct MergeTable::Candidate {
  uint32_t rank;
  int32_t left;   // index of the left symbol
  uint64_t pair;  // what it merged when it was queued; outdated if the symbols differ by then
  int32_t merged;

  // For a heap with the lowest rank on top, the leftmost of equals.
  friend bool operator<(const Candidate& a, const Candidate& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.left > b.left;
  }
};

MergeTable::MergeTable(const std::vector<Merge>& merges) {
  slots_.resize(std::bit_ceil(std::max<size_t>(2 * merges.size(), 2)));
  for (const Merge& merge : merges) {
    const uint64_t pair = pair_of(merge.left, merge.right);
    size_t slot = slot_of(pair, slots_.size());
    while (slots_[slot].pair != empty) slot = (slot + 1) & (slots_.size() - 1);
    slots_[slot] = {pair, merge.rank, merge.merged};
  }
}

const MergeTable::Entry* MergeTable::find(int32_t left, int32_t right) const {
  const uint64_t pair = pair_of(left, right);
  for (size_t slot = slot_of(pair, slots_.size());; slot = (slot + 1) & (slots_.size() - 1)) {
    if (slots_[slot].pair == pair) return &slots_[slot];
    if (slots_[slot].pair == empty) return nullptr;
  }
}

std::optional<MergeTable::Candidate> MergeTable::candidate(const std::vector<Symbol>& symbols, int32_t left,
                                                           int32_t without) const {
  if (left == none || symbols[static_cast<size_t>(left)].next == none) return std::nullopt;
  const Symbol& a = symbols[static_cast<size_t>(left)];
  const Entry* entry = find(a.token, symbols[static_cast<size_t>(a.next)].token);
  if (!entry || entry->merged == without) return std::nullopt;
  return Candidate{entry->rank, left, entry->pair, entry->merged};
}

void MergeTable::merge_all(std::vector<Symbol>& symbols, int32_t without) const {
  std::vector<Candidate> heap;
  for (int32_t i = 0; i < static_cast<int32_t>(symbols.size()); ++i) {
    if (const auto found = candidate(symbols, i, without)) heap.push_back(*found);
  }
  std::make_heap(heap.begin(), heap.end());
  const auto queue = [&](int32_t left) {
    const auto found = candidate(symbols, left, without);
    if (!found) return;
    heap.push_back(*found);
    std::push_heap(heap.begin(), heap.end());
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end());
    const Candidate best = heap.back();
    heap.pop_back();
    Symbol& left = symbols[static_cast<size_t>(best.left)];
    if (left.token == none || left.next == none) continue;
    Symbol& right = symbols[static_cast<size_t>(left.next)];
    if (pair_of(left.token, right.token) != best.pair) continue;
    left.token = best.merged;
    right.token = none;
    left.next = right.next;
    if (left.next != none) symbols[static_cast<size_t>(left.next)].previous = best.left;
    queue(left.previous);
    queue(best.left);
  }
}

void MergeTable::apply(const std::vector<int32_t>& word, std::vector<int32_t>& out, int32_t without) const {
  const auto n = static_cast<int32_t>(word.size());
  std::vector<Symbol> symbols(word.size());
  for (int32_t i = 0; i < n; ++i) {
    symbols[static_cast<size_t>(i)] = {word[static_cast<size_t>(i)], i - 1, i + 1 < n ? i + 1 : none};
  }
  merge_all(symbols, without);
  for (const Symbol& symbol : symbols) {
    if (symbol.token != none) out.push_back(symbol.token);
  }
}

}  // namespace tenure
