#include "packed_matrix.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace tenure::cpu {
namespace {

constexpr uint32_t kWordsQ8 = kBlock / 4;  // 4-input words of a row's q8_0 block
constexpr uint32_t kWordsQ4 = kBlock / 8;  // 4-byte words of a row's nibbles
constexpr uint32_t kLineBytes = kGroupRows * 4;

uint32_t groups_in_panel(const PackedMatrix& matrix, uint32_t panel) {
  return std::min(kPanelGroups, matrix.n_groups() - panel * kPanelGroups);
}

// Offsets of the parts of one block inside its bytes of the source format.
struct SourceBlock {
  uint32_t bytes;
  uint32_t values;  // offset of the quantised values
};
constexpr SourceBlock source_block(uint32_t dtype) {
  switch (dtype) {
    case TENURE_Q8_0:
      return {34, 2};
    case TENURE_Q4_0:
      return {18, 2};
    case TENURE_Q4_1:
      return {20, 4};
    case TENURE_F32:
      return {4, 0};
    default:
      return {2, 0};
  }
}

void pack_block(const PackedMatrix& matrix, const uint8_t* source, uint8_t* head, uint8_t* body,
                uint32_t min_offset, uint32_t lane) {
  const SourceBlock from = source_block(matrix.dtype);
  std::memcpy(head + 2 * lane, source, 2);
  if (matrix.dtype == TENURE_Q4_1) std::memcpy(head + min_offset + 2 * lane, source + 2, 2);
  const bool wide = matrix.dtype == TENURE_Q8_0;
  for (uint32_t word = 0; word < (wide ? kWordsQ8 : kWordsQ4); ++word) {
    uint32_t values;
    std::memcpy(&values, source + from.values + 4 * word, 4);
    if (wide) values ^= 0x80808080u;
    std::memcpy(body + kLineBytes * word + 4 * lane, &values, 4);
  }
}

}  // namespace

float f16_to_f32(uint16_t half) {
  const uint32_t sign = uint32_t{half} >> 15 << 31;
  const uint32_t magnitude = half & 0x7fffu;
  if (magnitude >= 0x7c00) return std::bit_cast<float>(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
  if (magnitude < 0x400) {
    const float value = static_cast<float>(magnitude) * 0x1p-24f;
    return sign ? -value : value;
  }
  return std::bit_cast<float>(sign | ((magnitude << 13) + (112u << 23)));
}

uint64_t source_row_bytes(uint32_t dtype, uint32_t n_in) {
  const uint32_t k = block_format(dtype).k;
  if (k == 0 || n_in % k != 0) return 0;
  return uint64_t{n_in / k} * source_block(dtype).bytes;
}

GroupView view_group(const PackedMatrix& matrix, uint32_t group) {
  const BlockFormat format = block_format(matrix.dtype);
  const uint32_t panel = group / kPanelGroups;
  const uint32_t n = groups_in_panel(matrix, panel);
  const uint32_t g = group % kPanelGroups;
  const uint8_t* base = matrix.data + uint64_t{panel} * kPanelGroups * matrix.group_bytes();
  return {.head = base + g * 32,
          .body = base + n * format.head_bytes + g * format.body_bytes,
          .stride = uint64_t{n} * (format.head_bytes + format.body_bytes),
          .min_offset = n * 32};
}

void pack_panel(const PackedMatrix& matrix, const uint8_t* source, uint32_t panel) {
  const uint64_t row_bytes = source_row_bytes(matrix.dtype, matrix.n_in);
  const uint32_t element = source_block(matrix.dtype).bytes;
  const uint32_t first = panel * kPanelGroups;
  for (uint32_t group = first; group < first + groups_in_panel(matrix, panel); ++group) {
    const GroupView view = view_group(matrix, group);
    uint8_t* head = const_cast<uint8_t*>(view.head);
    uint8_t* body = const_cast<uint8_t*>(view.body);
    for (uint32_t lane = 0; lane < kGroupRows; ++lane) {
      const uint32_t row = group * kGroupRows + lane;
      const uint8_t* from = source + row * row_bytes;
      for (uint32_t b = 0; b < matrix.n_blocks(); ++b) {
        if (!is_quantised(matrix.dtype)) {
          uint8_t* to = body + b * view.stride + lane * element;
          row < matrix.n_out ? void(std::memcpy(to, from + b * element, element))
                             : void(std::memset(to, 0, element));
        } else if (row < matrix.n_out) {
          pack_block(matrix, from + b * element, head + b * view.stride, body + b * view.stride,
                     view.min_offset, lane);
        } else {
          static constexpr uint8_t zeros[34] = {};
          pack_block(matrix, zeros, head + b * view.stride, body + b * view.stride, view.min_offset, lane);
        }
      }
    }
  }
}

namespace {

void unpack_block(const GroupView& view, uint32_t dtype, uint32_t b, uint32_t lane, float* out) {
  const uint8_t* head = view.head + b * view.stride + 2 * lane;
  const uint8_t* body = view.body + b * view.stride + 4 * lane;
  uint16_t half;
  std::memcpy(&half, head, 2);
  const float d = f16_to_f32(half);
  if (dtype == TENURE_Q8_0) {
    for (uint32_t k = 0; k < kBlock; ++k)
      out[k] = d * (static_cast<int>(body[kLineBytes * (k / 4) + k % 4]) - 128);
    return;
  }
  float m = -8.0f * d;
  if (dtype == TENURE_Q4_1) {
    std::memcpy(&half, head + view.min_offset, 2);
    m = f16_to_f32(half);
  }
  for (uint32_t k = 0; k < kBlock / 2; ++k) {
    const uint8_t pair = body[kLineBytes * (k / 4) + k % 4];
    out[k] = d * static_cast<float>(pair & 15) + m;
    out[k + kBlock / 2] = d * static_cast<float>(pair >> 4) + m;
  }
}

}  // namespace

void unpack_row(const PackedMatrix& matrix, uint32_t row, float* out) {
  const GroupView view = view_group(matrix, row / kGroupRows);
  const uint32_t lane = row % kGroupRows;
  for (uint32_t b = 0; b < matrix.n_blocks(); ++b) {
    const uint8_t* body = view.body + b * view.stride;
    uint16_t half;
    switch (matrix.dtype) {
      case TENURE_F32:
        std::memcpy(out + b, body + 4 * lane, 4);
        break;
      case TENURE_F16:
        std::memcpy(&half, body + 2 * lane, 2);
        out[b] = f16_to_f32(half);
        break;
      case TENURE_BF16:
        std::memcpy(&half, body + 2 * lane, 2);
        out[b] = std::bit_cast<float>(uint32_t{half} << 16);
        break;
      default:
        unpack_block(view, matrix.dtype, b, lane, out + uint64_t{b} * kBlock);
    }
  }
}

}  // namespace tenure::cpu
