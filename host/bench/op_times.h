// Where a forward's time goes: each op of a backend alone, in the order of a real pass, so that weights come
// from where they come from in a run. Only ops of <tenure/backend.h>, so any backend can be asked.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "model/model.h"

namespace tenure {

// One op in all layers of a pass.
struct OpTime {
  std::string_view op;
  double seconds = 0;  // median over the repeats
  uint64_t bytes = 0;  // it has to read: its share of the packed weights, or keys and values
  uint64_t operations = 0;
};

// One sequence's rows over `n_slots` slots in every layer and KV head.
struct PassShape {
  bool decode = false;
  uint32_t n_rows = 1;
  uint32_t n_slots = 1;
};
struct PassTimes {
  PassShape shape;
  std::vector<OpTime> ops;
};

// Nothing else uses the backend meanwhile. Throws Error when an op fails.
PassTimes time_ops(Backend& backend, const Model& model, const PassShape& shape, Dtype kv_type,
                   uint32_t repeat);

}  // namespace tenure
