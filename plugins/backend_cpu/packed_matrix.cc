#include "packed_matrix.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

#include "source_block.h"

namespace tenure::cpu {
namespace {

uint32_t groups_in_panel(const PackedMatrix& matrix, uint32_t panel) {
  return std::min(kPanelGroups, matrix.n_groups() - panel * kPanelGroups);
}

// The lane's share of one block, to where the view says (shifted to that block) or from there. The type is known when
// this is compiled, so that its loops unroll: packing was a third of the time to load a model.
template <uint32_t kDtype>
struct LanePlace {
  static constexpr BlockFormat format = block_format(kDtype);
  GroupView view;
  uint64_t shift;
  uint32_t lane;

  // touch(bytes of the packed matrix, member of LaneBlock, size) for every member that the format has.
  template <class Block, class Touch>
  void for_each(Block& block, Touch touch) const {
    for (uint32_t i = 0; i < format.head_bytes / 32; ++i)
      touch(view.head + shift + i * view.min_offset + 2 * lane, &block.head[i], 2);
    for (uint32_t b = 0; b < format.blocks(); ++b) {
      const uint64_t at = shift + b * view.block_stride;
      auto& inputs = block.inputs[b];
      for (uint32_t i = 0; i < format.scale_bytes / kGroupRows; ++i)
        touch(view.scales + at + i * kGroupRows + lane, &inputs.scales[i], 1);
      for (uint32_t i = 0; i < format.body_bytes / kLineBytes; ++i)
        touch(view.body + at + i * kLineBytes + 4 * lane, &inputs.words[i], 4);
    }
  }
};

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

float plain_value(uint32_t dtype, const uint8_t* from) {
  uint16_t half;
  std::memcpy(&half, from, 2);
  if (dtype == TENURE_F16) return f16_to_f32(half);
  if (dtype == TENURE_BF16) return std::bit_cast<float>(uint32_t{half} << 16);
  float value;
  std::memcpy(&value, from, 4);
  return value;
}

uint64_t source_row_bytes(uint32_t dtype, uint32_t n_in) {
  const BlockFormat format = block_format(dtype);
  if (format.k == 0 || n_in % format.k != 0) return 0;
  return uint64_t{n_in / format.k} * format.file_bytes;
}

GroupView view_group(const PackedMatrix& matrix, uint32_t group) {
  const BlockFormat format = block_format(matrix.dtype);
  const uint32_t panel = group / kPanelGroups;
  const uint32_t n = groups_in_panel(matrix, panel);
  const uint32_t g = group % kPanelGroups;
  const uint8_t* head = matrix.data + uint64_t{panel} * kPanelGroups * matrix.group_bytes();
  const uint8_t* scales = head + n * format.head_bytes;
  const uint8_t* body = scales + n * format.scale_bytes;
  const uint32_t block_stride = n * (format.scale_bytes + format.body_bytes);
  return {.head = head + g * 32,
          .body = body + g * format.body_bytes,
          .stride = uint64_t{n} * format.head_bytes + uint64_t{format.blocks()} * block_stride,
          .min_offset = n * 32,
          .scales = scales + g * format.scale_bytes,
          .block_stride = block_stride};
}

namespace {

// body(type) with the quantised dtype as a constant.
template <class Body>
void with_quantised(uint32_t dtype, const Body& body) {
  switch (dtype) {
    case TENURE_Q8_0:
      return body(std::integral_constant<uint32_t, TENURE_Q8_0>{});
    case TENURE_Q4_0:
      return body(std::integral_constant<uint32_t, TENURE_Q4_0>{});
    case TENURE_Q4_1:
      return body(std::integral_constant<uint32_t, TENURE_Q4_1>{});
    case TENURE_Q5_0:
      return body(std::integral_constant<uint32_t, TENURE_Q5_0>{});
    case TENURE_Q5_1:
      return body(std::integral_constant<uint32_t, TENURE_Q5_1>{});
    case TENURE_Q4_K:
      return body(std::integral_constant<uint32_t, TENURE_Q4_K>{});
    case TENURE_Q5_K:
      return body(std::integral_constant<uint32_t, TENURE_Q5_K>{});
    default:
      return body(std::integral_constant<uint32_t, TENURE_Q6_K>{});
  }
}

// One lane of a group: `from` is its row in the source, nullptr past the last.
void pack_plain_lane(const PackedMatrix& matrix, const GroupView& view, const uint8_t* from, uint32_t lane) {
  const uint32_t bytes = block_format(matrix.dtype).file_bytes;
  for (uint32_t k = 0; k < matrix.n_in; ++k) {
    uint8_t* to = const_cast<uint8_t*>(view.body) + k * view.stride + lane * bytes;
    from ? void(std::memcpy(to, from + uint64_t{k} * bytes, bytes)) : void(std::memset(to, 0, bytes));
  }
}

template <uint32_t kDtype>
void pack_lane(const PackedMatrix& matrix, const GroupView& view, const uint8_t* from, uint32_t lane) {
  constexpr BlockFormat format = block_format(kDtype);
  static constexpr uint8_t zeros[256] = {};
  LaneBlock block;
  for (uint32_t b = 0; b < matrix.n_blocks(); ++b) {
    const uint8_t* source = from ? from + uint64_t{b} * format.file_bytes : zeros;
    const uint64_t shift = b * view.stride;
    read_block(kDtype, source, block);
    LanePlace<kDtype>{view, shift, lane}.for_each(block, [](const uint8_t* to, const void* value, size_t n) {
      std::memcpy(const_cast<uint8_t*>(to), value, n);
    });
  }
}

}  // namespace

void pack_panel(const PackedMatrix& matrix, const uint8_t* source, uint32_t panel) {
  const uint64_t row_bytes = source_row_bytes(matrix.dtype, matrix.n_in);
  const uint32_t first = panel * kPanelGroups;
  for (uint32_t group = first; group < first + groups_in_panel(matrix, panel); ++group) {
    const GroupView view = view_group(matrix, group);
    for (uint32_t lane = 0; lane < kGroupRows; ++lane) {
      const uint32_t row = group * kGroupRows + lane;
      const uint8_t* from = row < matrix.n_out ? source + row * row_bytes : nullptr;
      if (!is_quantised(matrix.dtype)) {
        pack_plain_lane(matrix, view, from, lane);
      } else {
        with_quantised(matrix.dtype, [&](auto dtype) { pack_lane<dtype()>(matrix, view, from, lane); });
      }
    }
  }
}

void unpack_row(const PackedMatrix& matrix, uint32_t row, float* out) {
  const BlockFormat format = block_format(matrix.dtype);
  const GroupView view = view_group(matrix, row / kGroupRows);
  const uint32_t lane = row % kGroupRows;
  LaneBlock block;
  for (uint32_t b = 0; b < matrix.n_blocks(); ++b, out += format.k) {
    const uint64_t shift = b * view.stride;
    if (!is_quantised(matrix.dtype)) {
      *out = plain_value(matrix.dtype, view.body + shift + lane * format.file_bytes);
      continue;
    }
    with_quantised(matrix.dtype, [&](auto dtype) {
      LanePlace<dtype()>{view, shift, lane}.for_each(
          block, [](const uint8_t* from, void* value, size_t n) { std::memcpy(value, from, n); });
    });
    block_values(matrix.dtype, block, out);
  }
}

}  // namespace tenure::cpu
