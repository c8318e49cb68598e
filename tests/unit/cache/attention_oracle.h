// A KvCache with real keys and values in it, and what attention over the positions it says it holds must
// give: softmax in double over made-up keys, values and queries that are functions of (layer, head,
// position).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "cache/kv_cache.h"
#include "unit/session/tiny_host.h"

namespace tenure::test {

struct Rows {  // of one cache, appended in this step
  KvCache* cache = nullptr;
  uint32_t appended = 0;
  int32_t first_pos = 0;
  uint32_t n = 0;
};

class AttentionOracle {
 public:
  AttentionOracle(TinyHost& host, bool rank_positions);
  // Writes the rows' keys and values through the backend, attends, and compares every row of every layer and
  // head with the softmax over the positions that its table holds. Returns the largest difference.
  double step(std::span<const Rows> rows);

 private:
  double compare(const Rows& rows, uint32_t first_row, uint32_t layer, const std::vector<float>& out) const;
  std::vector<float> made(uint32_t kind, uint32_t layer, uint32_t head, int32_t pos) const;
  std::vector<double> expected(const SlotTable& table, uint32_t layer, uint32_t head, int32_t pos) const;

  TinyHost& host_;
  bool rank_positions_;
};

}  // namespace tenure::test
