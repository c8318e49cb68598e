// Attention of one query head's row over one KV head's slots, in double.
#pragma once

#include <span>
#include <vector>

#include "reference/cache.h"

namespace tenure::reference {

struct Attended {
  std::vector<double> out;      // (head_dim); zeros when the row sees no slot
  std::vector<double> weights;  // (n_slots) of the softmax; 0 where the row does not see
};

// q (head_dim) rotated by row_pos. runs: NULL-like when empty.
Attended attend(const HeadCache& cache, const tenure_layer_info& layer, std::span<const tenure_kv_run> runs,
                int32_t row_pos, std::span<const double> q);

}  // namespace tenure::reference
