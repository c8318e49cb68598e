// Quantised blocks of one row: read as model files store them, cut into what a lane of a packed matrix holds.
#pragma once

#include <cstdint>

#include "packed_matrix.h"

namespace tenure::cpu {

// One lane's share of a block (32 inputs) or superblock (256) of packed_matrix.h. The BlockFormat says how
// many members of each array count.
struct LaneBlock {
  struct Inputs32 {
    uint8_t scales[2];  // K-quants
    uint32_t words[8];  // 4 k each
  };
  uint16_t head[2];  // f16 scale, f16 minimum (added)
  Inputs32 inputs[kSuperblock / kBlock];
};

// From the file's bytes of one block of a quantised dtype.
void read_block(uint32_t dtype, const uint8_t* source, LaneBlock& out);

// What they stand for: out (32 or 256).
void block_values(uint32_t dtype, const LaneBlock& block, float* out);

}  // namespace tenure::cpu
