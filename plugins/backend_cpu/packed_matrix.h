// Weight matrices as the kernels read them: one layout for every instruction set.
//
// A matrix (n_out, n_in) is cut into groups of 16 output rows, one row a vector lane, and four groups make a
// panel. A panel is one sequential stream over k, so a matrix-vector product reads memory in address order
// and can prefetch any distance ahead. Per k-block of 32 inputs a panel of G groups holds heads, then bodies:
//           heads                                       bodies, each part [16 rows][4 k] bytes
//   q8_0    G x [16 f16 scale]                          G x 8 of values + 128
//   q4_0    G x [16 f16 scale]                          G x 4 of nibbles: k low, k + 16 high
//   q4_1    G x [16 f16 scale], G x [16 f16 minimum]    G x 4 of nibbles
//   q5_0    G x [16 f16 scale]                          G x (1 of fifth bits: byte k has that of input
//                                                       4 i + k in bit i, 4 of nibbles)
//   q5_1    G x [16 f16 scale], G x [16 f16 minimum]    G x (the same)
// A K-quant's superblock of 256 inputs starts with the heads of all its groups; then come 8 blocks of 32,
// each with small scales of a byte before its bodies:
//   q4_k    G x [16 f16 scale], G x [16 f16 minimum]    8 x (G x [16 scale][16 minimum], G x body of q4_0)
//   q5_k    G x [16 f16 scale], G x [16 f16 minimum]    8 x (G x [16 scale][16 minimum], G x body of q5_0)
//   q6_k    G x [16 f16 scale]                          8 x (G x [2 halves][16 signed scale],
//           G x (for each half 1 of bit pairs: byte k has that of the half's input 4 i + k in bits 2 i,
//                2 i + 1, then 2 of nibbles: 8 i + k low, 8 i + 4 + k high)
// and per k, for plain types,
//   f16, bf16, f32                                      G x [16 rows]
// Weights are the unsigned operand of the dot product; the activations' sums undo the offset, so q8_0 stays
// at 8.5 bits a weight. A minimum is what is added: a K-quant's is kept with its sign turned. Rows past n_out
// are zero. A body's parts lie in the order in which a product reads them, upper bits before the nibbles they
// belong to: the hardware's prefetchers follow ascending lines (a q6_k product of one row reads 1.2 times as
// fast so).
#pragma once

#include <tenure/abi.h>

#include <cstddef>
#include <cstdint>

namespace tenure::cpu {

constexpr uint32_t kGroupRows = 16;
constexpr uint32_t kPanelGroups = 4;
constexpr uint32_t kBlock = 32;        // inputs of a quantised block
constexpr uint32_t kSuperblock = 256;  // inputs of a K-quant's superblock

struct BlockFormat {
  uint32_t k;            // inputs of a block as files store it: 1, 32 or 256; 0: no type of weights
  uint32_t head_bytes;   // f16 scales and minima of one group
  uint32_t body_bytes;   // values of one group and kBlock inputs; plain types: one input
  uint32_t scale_bytes;  // K-quants: small scales and minima of one group and kBlock inputs
  uint32_t zero;         // the unsigned value that means 0
  uint32_t file_bytes;   // a block of one row in the file

  constexpr uint32_t blocks() const { return k > kBlock ? k / kBlock : 1; }
};
// By tenure dtype: k, head, body, scales, zero, file.
constexpr BlockFormat kBlockFormats[] = {
    {1, 0, 64, 0, 0, 4},                  // f32
    {1, 0, 32, 0, 0, 2},                  // f16
    {1, 0, 32, 0, 0, 2},                  // bf16
    {kBlock, 32, 512, 0, 128, 34},        // q8_0
    {kBlock, 32, 256, 0, 8, 18},          // q4_0
    {kBlock, 64, 256, 0, 0, 20},          // q4_1
    {},                                   // i32
    {},                                   // u8
    {kBlock, 32, 320, 0, 16, 22},         // q5_0
    {kBlock, 64, 320, 0, 0, 24},          // q5_1
    {kSuperblock, 64, 256, 32, 0, 144},   // q4_k
    {kSuperblock, 64, 320, 32, 0, 176},   // q5_k
    {kSuperblock, 32, 384, 32, 32, 210},  // q6_k
};
constexpr BlockFormat block_format(uint32_t dtype) {
  return dtype < sizeof kBlockFormats / sizeof *kBlockFormats ? kBlockFormats[dtype] : BlockFormat{};
}
constexpr bool is_quantised(uint32_t dtype) {
  return block_format(dtype).k >= kBlock;
}

constexpr uint32_t kLineBytes = 4 * kGroupRows;  // a part of a body: four inputs of 16 rows, or their bits
// Where in its body a format of nibbles has line i of 4 of nibbles, and of its upper bits (fifth bits: 1
// line, pairs: 2).
constexpr uint32_t n_upper_lines(uint32_t dtype) {
  return block_format(dtype).body_bytes / kLineBytes - 4;
}
constexpr uint32_t nibble_line(uint32_t dtype, uint32_t i) {
  const uint32_t n = n_upper_lines(dtype);
  return n == 0 ? i : i + 1 + i * n / 4;
}
constexpr uint32_t upper_line(uint32_t dtype, uint32_t i) {
  return i * (4 / n_upper_lines(dtype) + 1);
}

// A view; whoever packed it owns the bytes.
struct PackedMatrix {
  uint32_t dtype = TENURE_F32;
  uint32_t n_out = 0;
  uint32_t n_in = 0;
  const uint8_t* data = nullptr;

  uint32_t n_groups() const { return (n_out + kGroupRows - 1) / kGroupRows; }
  uint32_t n_blocks() const { return n_in / block_format(dtype).k; }  // as the file stores them
  uint64_t group_bytes() const {
    const BlockFormat f = block_format(dtype);
    return uint64_t{n_blocks()} * (f.head_bytes + f.blocks() * (f.scale_bytes + f.body_bytes));
  }
  uint64_t bytes() const { return n_groups() * group_bytes(); }
};

// Where one group's blocks lie: block b has its f16 numbers at head + b * stride, its values at
// body + b * stride. Block i of superblock b has them at body + b * stride + i * block_stride, and its small
// scales as far from `scales`.
struct GroupView {
  const uint8_t* head;
  const uint8_t* body;
  uint64_t stride;      // bytes from one block (superblock) of the panel to the next
  uint32_t min_offset;  // formats with a minimum: bytes from the f16 scales to the f16 minima
  const uint8_t* scales;
  uint32_t block_stride;
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
// An element of a plain type: f32, f16 or bf16.
float plain_value(uint32_t dtype, const uint8_t* from);

}  // namespace tenure::cpu
