// Matrix products of prefill rows on matrix units, written once over `Tiles` (tiles.h).
//
// A strip of up to 64 outputs is unpacked to bf16 column tiles once and then read by all rows of the task
// from L2; the packed groups of 16 outputs already are the columns of a tile. bf16 keeps 8 bits of a weight
// and of an activation; the 32-input blocks of the int8 products would fill half a tile and need a rescaling
// for each.
//
// A sum is added up in a fixed order: pieces of kPieceInputs inputs, in a piece step by step. So a row has
// the same bits whatever rows, outputs or tasks are beside it. Needs AVX-512 with BF16; nothing here may have
// external linkage.
#pragma once

#include <immintrin.h>

#include "kernels.h"
#include "tiles.h"

namespace tenure::cpu {
namespace {

// Rows (256 of a task) and strip of one piece take 1.25 MiB of a 2 MiB L2.
constexpr uint32_t kPieceInputs = 2048;
static_assert(kPanelBf16 >= kPieceInputs * kPanelGroups * kGroupRows);
static_assert(kBlock == kTileInputs && kGroupRows == kTileLines && kPrefillRowUnit == kTileBlockRows);
constexpr uint32_t kTileElements = kTileBytes / sizeof(uint16_t);

void narrow_row(const float* x, uint32_t n, uint16_t* out) {
  for (uint32_t i = 0; i < n; i += 16)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i),
                        reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(_mm512_loadu_ps(x + i))));
}

// ---- one block of 16 outputs x 32 inputs as a column tile: [16 pairs of inputs][16 outputs][2] ----

inline __m512 load_f16(const uint8_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}

// The inputs `even` and `even` + 1 of 16 outputs.
inline void store_pair(uint16_t* tile, uint32_t even, __m512 a, __m512 b) {
  alignas(64) static constexpr uint16_t interleaved[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                           21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                           11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const __m512i both = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(b, a));
  _mm512_storeu_si512(tile + kGroupRows * even,
                      _mm512_permutexvar_epi16(_mm512_load_si512(interleaved), both));
}

// Bits [shift, shift + 8) of each lane as a signed number, or [shift, shift + 4) as an unsigned one.
template <int shift>
inline __m512 signed_byte(__m512i x) {
  return _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(x, 24 - shift), 24));
}
template <int shift>
inline __m512 nibble(__m512i x) {
  return _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srli_epi32(x, shift), _mm512_set1_epi32(15)));
}

inline void unpack_q8_0(const GroupView& view, uint32_t block, uint16_t* tile) {
  const __m512 d = load_f16(view.head + block * view.stride);
  const uint8_t* body = view.body + block * view.stride;
  for (uint32_t k = 0; k < kBlock; k += 4, body += 64) {
    const __m512i bytes =
        _mm512_xor_si512(_mm512_loadu_si512(body), _mm512_set1_epi8(static_cast<char>(0x80)));
    store_pair(tile, k, _mm512_mul_ps(d, signed_byte<0>(bytes)), _mm512_mul_ps(d, signed_byte<8>(bytes)));
    store_pair(tile, k + 2, _mm512_mul_ps(d, signed_byte<16>(bytes)),
               _mm512_mul_ps(d, signed_byte<24>(bytes)));
  }
}

// weight = d * nibble + m: the low nibbles are the block's first 16 inputs.
inline void unpack_nibbles(__m512 d, __m512 m, const uint8_t* body, uint16_t* tile) {
  for (uint32_t k = 0; k < kBlock / 2; k += 4, body += 64) {
    const __m512i x = _mm512_loadu_si512(body);
    store_pair(tile, k, _mm512_fmadd_ps(d, nibble<0>(x), m), _mm512_fmadd_ps(d, nibble<8>(x), m));
    store_pair(tile, k + 2, _mm512_fmadd_ps(d, nibble<16>(x), m), _mm512_fmadd_ps(d, nibble<24>(x), m));
    store_pair(tile, k + 16, _mm512_fmadd_ps(d, nibble<4>(x), m), _mm512_fmadd_ps(d, nibble<12>(x), m));
    store_pair(tile, k + 18, _mm512_fmadd_ps(d, nibble<20>(x), m), _mm512_fmadd_ps(d, nibble<28>(x), m));
  }
}
inline void unpack_q4_0(const GroupView& view, uint32_t block, uint16_t* tile) {
  const __m512 d = load_f16(view.head + block * view.stride);
  unpack_nibbles(d, _mm512_mul_ps(d, _mm512_set1_ps(-8.0f)), view.body + block * view.stride, tile);
}
inline void unpack_q4_1(const GroupView& view, uint32_t block, uint16_t* tile) {
  const uint8_t* head = view.head + block * view.stride;
  unpack_nibbles(load_f16(head), load_f16(head + view.min_offset), view.body + block * view.stride, tile);
}

// Where the numbers of a K-quant's block of 32 inputs are; for other formats `scales` says nothing.
struct BlockNumbers {
  const uint8_t* head;
  const uint8_t* scales;
  const uint8_t* body;
};
inline BlockNumbers in_superblock(const GroupView& view, uint32_t block) {
  constexpr uint32_t n = kSuperblock / kBlock;
  const uint64_t at = block / n * view.stride;
  const uint64_t inner = at + block % n * view.block_stride;
  return {view.head + at, view.scales + inner, view.body + inner};
}
inline __m512 load_i8(const uint8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}

// weight = d * (nibble + 16 * fifth bit) + m: byte k of the fifth bits has that of input 4 i + k in bit i.
template <uint32_t kPart>
inline void unpack_fifths(__m512 d, __m512 m, const uint8_t* body, uint16_t* tile) {
  const __m512i x = _mm512_loadu_si512(body + kLineBytes * nibble_line(TENURE_Q5_0, kPart));
  const __m512i fifths = _mm512_loadu_si512(body + kLineBytes * upper_line(TENURE_Q5_0, 0));
  const auto value = [&]<int kByte, int kHigh>() {
    constexpr int bit = 8 * kByte + static_cast<int>(kPart) + 4 * kHigh;
    const __m512i low = _mm512_and_si512(_mm512_srli_epi32(x, 8 * kByte + 4 * kHigh), _mm512_set1_epi32(15));
    const __m512i fifth = _mm512_and_si512(_mm512_srli_epi32(fifths, bit), _mm512_set1_epi32(1));
    const __m512i q = _mm512_or_si512(low, _mm512_slli_epi32(fifth, 4));
    return _mm512_fmadd_ps(d, _mm512_cvtepi32_ps(q), m);
  };
  store_pair(tile, 4 * kPart, value.template operator()<0, 0>(), value.template operator()<1, 0>());
  store_pair(tile, 4 * kPart + 2, value.template operator()<2, 0>(), value.template operator()<3, 0>());
  store_pair(tile, 4 * kPart + 16, value.template operator()<0, 1>(), value.template operator()<1, 1>());
  store_pair(tile, 4 * kPart + 18, value.template operator()<2, 1>(), value.template operator()<3, 1>());
}
inline void unpack_with_fifths(__m512 d, __m512 m, const uint8_t* body, uint16_t* tile) {
  unpack_fifths<0>(d, m, body, tile);
  unpack_fifths<1>(d, m, body, tile);
  unpack_fifths<2>(d, m, body, tile);
  unpack_fifths<3>(d, m, body, tile);
}
inline void unpack_q5_0(const GroupView& view, uint32_t block, uint16_t* tile) {
  const __m512 d = load_f16(view.head + block * view.stride);
  unpack_with_fifths(d, _mm512_mul_ps(d, _mm512_set1_ps(-16.0f)), view.body + block * view.stride, tile);
}
inline void unpack_q5_1(const GroupView& view, uint32_t block, uint16_t* tile) {
  const uint8_t* head = view.head + block * view.stride;
  unpack_with_fifths(load_f16(head), load_f16(head + view.min_offset), view.body + block * view.stride, tile);
}
inline void unpack_q4_k(const GroupView& view, uint32_t block, uint16_t* tile) {
  const BlockNumbers at = in_superblock(view, block);
  unpack_nibbles(_mm512_mul_ps(load_f16(at.head), load_i8(at.scales)),
                 _mm512_mul_ps(load_f16(at.head + view.min_offset), load_i8(at.scales + 16)), at.body, tile);
}
inline void unpack_q5_k(const GroupView& view, uint32_t block, uint16_t* tile) {
  const BlockNumbers at = in_superblock(view, block);
  unpack_with_fifths(_mm512_mul_ps(load_f16(at.head), load_i8(at.scales)),
                     _mm512_mul_ps(load_f16(at.head + view.min_offset), load_i8(at.scales + 16)), at.body,
                     tile);
}

// weight = d * scale of the half * (nibble + 16 * bit pair - 32); low and high nibbles take turns, word by
// word.
template <int kWord>
inline void unpack_word_q6(__m512 d, const uint8_t* body, uint16_t* tile) {
  const __m512i x = _mm512_loadu_si512(body + kLineBytes * nibble_line(TENURE_Q6_K, kWord / 2));
  const __m512i pairs = _mm512_loadu_si512(body + kLineBytes * upper_line(TENURE_Q6_K, kWord / 4));
  const auto value = [&]<int kByte>() {
    const __m512i low =
        _mm512_and_si512(_mm512_srli_epi32(x, 8 * kByte + 4 * (kWord % 2)), _mm512_set1_epi32(15));
    const __m512i pair =
        _mm512_and_si512(_mm512_srli_epi32(pairs, 8 * kByte + 2 * (kWord % 4)), _mm512_set1_epi32(3));
    const __m512i q =
        _mm512_sub_epi32(_mm512_or_si512(low, _mm512_slli_epi32(pair, 4)), _mm512_set1_epi32(32));
    return _mm512_mul_ps(d, _mm512_cvtepi32_ps(q));
  };
  store_pair(tile, 4 * kWord, value.template operator()<0>(), value.template operator()<1>());
  store_pair(tile, 4 * kWord + 2, value.template operator()<2>(), value.template operator()<3>());
}
inline void unpack_q6_k(const GroupView& view, uint32_t block, uint16_t* tile) {
  const BlockNumbers at = in_superblock(view, block);
  const __m512 d = load_f16(at.head);
  const __m512 first = _mm512_mul_ps(d, load_i8(at.scales));
  const __m512 second = _mm512_mul_ps(d, load_i8(at.scales + 16));
  unpack_word_q6<0>(first, at.body, tile);
  unpack_word_q6<1>(first, at.body, tile);
  unpack_word_q6<2>(first, at.body, tile);
  unpack_word_q6<3>(first, at.body, tile);
  unpack_word_q6<4>(second, at.body, tile);
  unpack_word_q6<5>(second, at.body, tile);
  unpack_word_q6<6>(second, at.body, tile);
  unpack_word_q6<7>(second, at.body, tile);
}

// Block: of 32 inputs, counted from the group's first.
using UnpackBlock = void (*)(const GroupView&, uint32_t block, uint16_t* tile);
// A format without one goes through the int8 products, as decode does.
constexpr UnpackBlock unpack_block_of(uint32_t dtype) {
  switch (dtype) {
    case TENURE_Q8_0:
      return unpack_q8_0;
    case TENURE_Q4_0:
      return unpack_q4_0;
    case TENURE_Q4_1:
      return unpack_q4_1;
    case TENURE_Q5_0:
      return unpack_q5_0;
    case TENURE_Q5_1:
      return unpack_q5_1;
    case TENURE_Q4_K:
      return unpack_q4_k;
    case TENURE_Q5_K:
      return unpack_q5_k;
    case TENURE_Q6_K:
      return unpack_q6_k;
    default:
      return nullptr;
  }
}
bool has_prefill_product(uint32_t dtype) {
  return unpack_block_of(dtype) != nullptr;
}

// ---- products ----

// Inputs [first, first + 32 * n_steps) of the task's rows against a strip of groups.
struct Piece {
  uint32_t first;
  uint32_t n_steps;
  uint32_t group;
  uint32_t n_groups;
  const uint16_t* panel;  // (n_groups, n_steps) tiles
};

// out of two groups at most [+ bias] [+ out] = sums (32, 32)
void add_sums(const LinearTask& task, const Piece& piece, uint32_t row, uint32_t group, const float* sums) {
  const bool begins = piece.first == 0;
  const uint32_t n_rows = task.n_rows - row < kTileBlockRows ? task.n_rows - row : kTileBlockRows;
  const uint32_t end = group + 2 < piece.group + piece.n_groups ? group + 2 : piece.group + piece.n_groups;
  for (; group < end; ++group, sums += kGroupRows) {
    const uint32_t left = task.weight->n_out - group * kGroupRows;
    const __mmask16 kept = static_cast<__mmask16>(left >= kGroupRows ? 0xffffu : (1u << left) - 1);
    const uint32_t column = (group - task.group_begin) * kGroupRows;
    const __m512 bias =
        begins && task.bias ? _mm512_maskz_loadu_ps(kept, task.bias + column) : _mm512_setzero_ps();
    float* out = task.out + row * task.out_stride + column;
    for (uint32_t r = 0; r < n_rows; ++r, out += task.out_stride) {
      __m512 sum = _mm512_add_ps(_mm512_load_ps(sums + r * kTileBlockRows), bias);
      if (task.accumulate || !begins) sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(kept, out));
      _mm512_mask_storeu_ps(out, kept, sum);
    }
  }
}

template <class Tiles>
void multiply_strip(Tiles& tiles, const LinearTask& task, const Piece& piece) {
  alignas(64) float sums[kTileBlockRows * kTileBlockRows];
  const uint64_t row_bytes = uint64_t{bf16_stride(task.weight->n_in)} * sizeof(uint16_t);
  const uint64_t group_bytes = uint64_t{piece.n_steps} * kTileBytes;
  const auto* rows = static_cast<const uint8_t*>(task.x) + piece.first * sizeof(uint16_t);
  const auto* panel = reinterpret_cast<const uint8_t*>(piece.panel);
  for (uint32_t row = 0; row < task.n_rows; row += kTileBlockRows) {
    for (uint32_t g = 0; g < piece.n_groups; g += 2) {
      with_tile_counts(
          task.n_rows - row, (piece.n_groups - g) * kGroupRows, [&](auto row_tiles, auto column_tiles) {
            clear_sums<row_tiles.value, column_tiles.value>(tiles);
            multiply_steps<row_tiles.value, column_tiles.value>(tiles, {rows + row * row_bytes, row_bytes},
                                                                {.at = panel + g * group_bytes,
                                                                 .stride = kTileLineBytes,
                                                                 .next_tile = group_bytes,
                                                                 .next_step = kTileBytes},
                                                                piece.n_steps);
            store_sums<row_tiles.value, column_tiles.value>(tiles, {sums, kTileBlockRows});
          });
      add_sums(task, piece, row, piece.group + g, sums);
    }
  }
}

template <class Tiles>
void linear_on_tiles(const LinearTask& task, uint16_t* panel) {
  Tiles tiles;
  const PackedMatrix& weight = *task.weight;
  const UnpackBlock unpack = unpack_block_of(weight.dtype);
  for (uint32_t first = 0; first < weight.n_in; first += kPieceInputs) {
    const uint32_t n_inputs = weight.n_in - first < kPieceInputs ? weight.n_in - first : kPieceInputs;
    for (uint32_t group = task.group_begin; group < task.group_end;) {
      const uint32_t in_panel = kPanelGroups - group % kPanelGroups;
      const uint32_t left = task.group_end - group;
      const Piece piece{.first = first,
                        .n_steps = n_inputs / kTileInputs,
                        .group = group,
                        .n_groups = left < in_panel ? left : in_panel,
                        .panel = panel};
      for (uint32_t g = 0; g < piece.n_groups; ++g) {
        const GroupView view = view_group(weight, group + g);
        for (uint32_t step = 0; step < piece.n_steps; ++step)
          unpack(view, first / kBlock + step, panel + (uint64_t{g} * piece.n_steps + step) * kTileElements);
      }
      tiles.fence();
      multiply_strip(tiles, task, piece);
      group += piece.n_groups;
    }
  }
}

template <class Tiles>
constexpr PrefillProducts prefill_products(const char* name) {
  return {.name = name, .takes = has_prefill_product, .narrow = narrow_row, .linear = linear_on_tiles<Tiles>};
}

}  // namespace
}  // namespace tenure::cpu
