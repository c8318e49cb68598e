// Weight matrices as the kernels read them: one layout for every instruction set.
//
// A matrix (n_out, n_in) is cut into groups of 16 output rows, one row a vector lane, and four groups make a
// panel. A panel is one sequential stream over k, so a matrix-vector product reads memory in address order
// and can prefetch any distance ahead. Per k-block of 32 inputs a panel of G groups holds
//   q8_0   G x [16 f16 scale]                       G x [8][16 rows][4 k] bytes, value + 128
//   q4_0   G x [16 f16 scale]                       G x [4][16 rows][4 k] bytes: k in the low nibble, k + 16
//   in the high q4_1   G x [16 f16 scale], G x [16 f16 minimum] G x [4][16 rows][4 k] bytes
// and per k, for plain types,
//   f16, bf16, f32                                  G x [16 rows]
// Weights are the unsigned operand of the dot product; the activations' block sums undo the offset, so q8_0
// stays at 8.5 bits a weight. Rows past n_out are zero.
#pragma once

#include <tenure/abi.h>

#include <cstddef>
#include <cstdint>

namespace tenure::cpu {

constexpr uint32_t kGroupRows = 16;
constexpr uint32_t kPanelGroups = 4;
constexpr uint32_t kBlock = 32;  // inputs a quantised block

struct BlockFormat {
  uint32_t k;           // inputs a block
  uint32_t head_bytes;  // scales and minima of one group
  uint32_t body_bytes;  // values of one group
};
constexpr BlockFormat block_format(uint32_t dtype) {
  switch (dtype) {
    case TENURE_Q8_0:
      return {kBlock, 32, 512};
    case TENURE_Q4_0:
      return {kBlock, 32, 256};
    case TENURE_Q4_1:
      return {kBlock, 64, 256};
    case TENURE_F16:
    case TENURE_BF16:
      return {1, 0, 32};
    case TENURE_F32:
      return {1, 0, 64};
    default:
      return {0, 0, 0};
  }
}
constexpr bool is_quantised(uint32_t dtype) {
  return block_format(dtype).k == kBlock;
}

// A view; whoever packed it owns the bytes.
struct PackedMatrix {
  uint32_t dtype = TENURE_F32;
  uint32_t n_out = 0;
  uint32_t n_in = 0;
  const uint8_t* data = nullptr;

  uint32_t n_groups() const { return (n_out + kGroupRows - 1) / kGroupRows; }
  uint32_t n_blocks() const { return n_in / block_format(dtype).k; }
  uint64_t group_bytes() const {
    const BlockFormat f = block_format(dtype);
    return uint64_t{n_blocks()} * (f.head_bytes + f.body_bytes);
  }
  uint64_t bytes() const { return n_groups() * group_bytes(); }
};

// Where one group's blocks lie: block b has its scales at head + b * stride, its values at body + b * stride.
struct GroupView {
  const uint8_t* head;
  const uint8_t* body;
  uint64_t stride;      // bytes from one block of the panel to the next
  uint32_t min_offset;  // q4_1: bytes from the scales to the minima
};
GroupView view_group(const PackedMatrix&, uint32_t group);

// Bytes of one row of n_in inputs as it comes from the host; 0 when n_in is no whole number of blocks.
uint64_t source_row_bytes(uint32_t dtype, uint32_t n_in);

// Packs panel `panel` of `source` (n_out rows, contiguous, GGUF blocks) to where `matrix` says; matrix.data
// is writable.
void pack_panel(const PackedMatrix& matrix, const uint8_t* source, uint32_t panel);

// One row as f32: out (n_in). The tied head's one packed copy serves the embedding, too.
void unpack_row(const PackedMatrix&, uint32_t row, float* out);

float f16_to_f32(uint16_t);

}  // namespace tenure::cpu
