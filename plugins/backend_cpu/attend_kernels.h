// What attention's kernels take and give, one table per code path. Plain data and function pointers only:
// this header is seen by files compiled for different instruction sets.
//
// Scores are in base 2: queries arrive multiplied by scale * log2(e), so a weight is 2^(score - max).
#pragma once

#include <tenure/backend.h>

#include <cstdint>

#include "page_layout.h"

namespace tenure::cpu {

constexpr uint32_t kSplitSlots = 256;  // decode: slots of one work item; a multiple of it always starts one
constexpr uint32_t kBlockSlots = 512;  // prefill: slots between two rescalings of a row's sums
constexpr uint32_t kMassTokens = 16;   // tokens whose weights are summed before they are added to the mass
// prefill: floats between rows of scores; rows a power of two apart would share a few cache sets.
constexpr uint32_t kScoreStride = kBlockSlots + 32;

// One KV head's cached slots.
struct CacheView {
  const uint8_t* base;  // of the pool
  const uint32_t* pages;
  const int32_t* pos;  // (n_slots)
  uint64_t page_bytes;
  uint32_t v_offset;
  uint32_t head_dim;
  uint32_t n_slots;
  uint32_t n_unmasked;  // leading slots that every row sees
};

struct SlotRange {
  uint32_t first;
  uint32_t end;
};

// Positions that a row sees, both inclusive.
struct PosRange {
  int32_t oldest;
  int32_t newest;
};

// One row's query heads of one KV head against the slots of one split; `cache` begins at the split. max, sum
// and value are of the slots so far.
struct DecodeSplit {
  CacheView cache;
  PosRange seen;
  uint32_t k_type;
  uint32_t v_type;
  uint32_t group_size;
  float* max;      // (group_size), -inf when the row sees no slot
  float* sum;      // (group_size)
  float* value;    // (group_size, head_dim)
  float* weights;  // (group_size, kSplitSlots): 2^(score - max) after the last slot; NULL = nobody asks
};

// One query head's partial results of consecutive splits: split i at max[i * small_stride], value[i *
// value_stride].
struct DecodePartials {
  const float* max;
  const float* sum;
  const float* value;
  uint32_t small_stride;
  uint32_t value_stride;
  uint32_t n_splits;
  uint32_t head_dim;
};

// The queries of a prefill task, packed once for each run of slots that turns them differently.
struct PrefillQueries {
  const void* rows;   // (n_rows, head_dim rounded up to the kernel's depth)
  uint32_t end_slot;  // the run's last slot + 1
};

// Rows are (token, query head of the group); a block of consecutive tokens of one segment against one KV
// head.
struct PrefillTask {
  CacheView cache;
  const PrefillQueries* runs;
  uint32_t n_runs;
  uint32_t n_rows;
  uint32_t group_size;
  int32_t first_pos;
  uint32_t window;  // 0 = all
  uint32_t k_type;
  uint32_t v_type;
  float* out;  // token t, head g at out + t * out_stride + g * head_dim
  uint64_t out_stride;
  // Mass: rows from first_mass_row on count; mass (n_tokens / kMassTokens rounded up, slot_stride) is
  // overwritten.
  float* mass;  // NULL = nobody asks
  uint32_t first_mass_row;
  uint32_t slot_stride;  // n_slots rounded up to kBlockSlots
  // Scratch, 64-byte aligned. Elements are the kernel's: f32 or bf16.
  // A kernel may read and write rows up to the next multiple of kMaxTileRows; what they hold is of no
  // account.
  void* keys;        // (kBlockSlots, head_dim rounded up to the kernel's depth)
  void* values;      // (kBlockSlots, head_dim)
  float* sums;       // (n_rows, head_dim)
  float* max;        // (n_rows)
  float* total;      // (n_rows)
  float* scores;     // (kMaxTileRows, kScoreStride)
  void* weights;     // (kMaxTileRows, kScoreStride), with mass (n_rows, slot_stride)
  float* block_max;  // with mass (n_rows, slot_stride / kBlockSlots)
};
constexpr uint32_t kMaxTileRows = 32;

struct PrefillKernel {
  uint32_t element_bytes;
  uint32_t depth;  // elements that one step of a dot product takes: queries are padded to a multiple of it
  // q (n_rows, head_dim)
  void (*pack_queries)(const float* q, uint32_t n_rows, uint32_t head_dim, float scale, void* packed);
  void (*run)(const PrefillTask&);
};

// cos and sin of one row's angles, each value twice for interleaved pairs: (rope_dim) floats each.
struct Rotation {
  const float* cos;
  const float* sin;  // interleaved: negated at even places
  uint32_t rope_dim;
  uint32_t kind;  // TENURE_ROPE_*
};

// One key or value as its type keeps it (page_layout.h), in one piece.
struct PackedRow {
  uint16_t halves[2 * kMaxGroups];  // scales of the groups, then their minimums
  alignas(64) uint8_t elements[kMaxHeadDim * sizeof(float)];
};

// Arrays are indexed by TENURE_*; NULL: a type that no page holds.
struct AttendKernels {
  const char* name;
  // q (group_size, head_dim) against the range's slots. The ranges of a split come in ascending order, each
  // with its own q, from slot 0 to the last.
  void (*decode)(const DecodeSplit&, SlotRange, const float* q);
  // out (head_dim) = the softmax over all splits; max and 1 / sum make a split's weights final
  void (*decode_merge)(const DecodePartials&, float* out, float* max, float* inverse_sum);
  // mass[i] += factor * weights[i] for i < n; weights is readable up to the next multiple of 16
  void (*add_scaled)(const float* weights, float factor, uint32_t n, float* mass);
  PrefillKernel prefill_exact;  // f32 throughout
  PrefillKernel prefill_fast;   // bf16 products where the CPU has them
  // n_heads heads of head_dim, contiguous; out may be in
  void (*rotate)(const Rotation&, const float* in, uint32_t n_heads, uint32_t head_dim, float* out);
  // n a multiple of 16, of kGroup for quantised types
  void (*widen[kCacheTypes])(const PackedRow& in, uint32_t n, float* out);
  void (*narrow[kCacheTypes])(const float* in, uint32_t n, PackedRow& out);
  // rows (n_slots, head_dim) = the first keys of a page, n_slots at most 16; NULL: one by one, with widen
  void (*read_keys[kCacheTypes])(const uint8_t* page, uint32_t head_dim, uint32_t n_slots, float* rows);
  // Each group of kGroup elements times factor * H, the Hadamard matrix of +1 and -1; H * H is kGroup times the
  // identity. n a multiple of kGroup; out may be in
  void (*spread)(const float* in, uint32_t n, float factor, float* out);
  float (*exp2)(float);
};

extern const AttendKernels kAttendScalar;
extern const AttendKernels kAttendAvx2;        // AVX2, FMA, F16C
extern const AttendKernels kAttendAvx512;      // AVX-512 F, BW, DQ, VL
extern const AttendKernels kAttendAvx512Bf16;  // and BF16
extern const AttendKernels kAttendAmx;         // and AMX tiles with BF16, permitted (amx.h)

// The best table this CPU runs, or the best of the family `forced` names ("scalar", "avx2", "avx512", "amx";
// empty: none is forced). nullptr when the name is unknown or the CPU lacks it.
const AttendKernels* choose_attend_kernels(const char* forced);

}  // namespace tenure::cpu
