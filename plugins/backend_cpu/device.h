// The backend's state and what its ops share: readied rows, and a product cut into tasks.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "attend.h"
#include "attend_exec.h"
#include "attend_kernels.h"
#include "kernels.h"
#include "memory.h"
#include "net.h"
#include "weights.h"

namespace tenure::cpu {

// Up to so many rows every worker readies them all for itself: cheaper than a parallel region of their own
// (norm and quantisation of 576 floats take 0.2 us).
constexpr uint32_t kFewRows = 4;
// Rows of one product task: 256 quantised rows of 1536 inputs fill half of a 1 MiB L2.
constexpr uint32_t kTaskRows = 256;
// Rows of logits at once; a slice is the fixed piece that a row's reduction is made of.
constexpr uint32_t kHeadRows = 64;
constexpr uint32_t kSliceGroups = 64;

// Rows as products take them: f32 for plain weights, int8 blocks for quantised ones, or bf16 where prefill
// has products of its own.
struct ReadyRows {
  float* plain = nullptr;             // (n_rows, n_in)
  ActivationBlock* blocks = nullptr;  // (n_rows, n_in / 32)
  uint16_t* bf16 = nullptr;           // (n_rows up to a multiple of kPrefillRowUnit, bf16_stride(n_in))
  const PrefillProducts* prefill = nullptr;  // of these rows; NULL: none of their own

  ReadyRows row(uint32_t r, uint32_t n_in) const {
    return {.plain = plain + uint64_t{r} * n_in,
            .blocks = blocks + uint64_t{r} * (n_in / kBlock),
            .bf16 = bf16 ? bf16 + uint64_t{r} * bf16_stride(n_in) : nullptr,
            .prefill = prefill};
  }
};

// Consecutive rows of a batch that go through the same products.
struct RowSpan {
  uint32_t first;
  uint32_t n_rows;
  const PrefillProducts* prefill;  // NULL: none of their own
};

// Scratch of one worker; its own cache lines.
struct alignas(64) Worker {
  ReadyRows rows;             // kFewRows of the widest input
  float* tile = nullptr;      // see Workspace
  uint16_t* panel = nullptr;  // (kPanelBf16) where prefill has products of its own
  uint64_t ready_for = 0;     // the region whose rows it holds
};

struct WorkspaceSize {
  uint32_t n_rows = 0;
  uint32_t widest_input = 0;
  uint32_t n_ff = 0;
  uint32_t n_block_output = 0;  // n_embd where blocks' outputs are normed, else 0
  uint32_t n_slices = 0;        // of a row of logits
};

// All scratch of a forward, allocated by reserve().
struct Workspace {
  Block memory;
  WorkspaceSize size;
  ReadyRows rows;                 // (n_rows) of the widest input
  float* feed_forward = nullptr;  // (n_rows, n_ff)
  float* block_output = nullptr;  // (n_rows, n_embd) what attn_out or mlp adds, until it is normed
  LogitSlice* slices = nullptr;   // (n_slices, kHeadRows)
  std::vector<Worker> workers;
  uint64_t region = 0;
};

struct Device {
  Exec exec;
  const Kernels* kernels = nullptr;
  const PrefillProducts* prefill = nullptr;  // NULL: prefill rows go through `kernels`
  const AttendKernels* attend_kernels = nullptr;
  const PairProducts* pair_products = nullptr;  // of lent networks; NULL: `kernels` does them all
  std::string name;
  std::string code_path;
  Workspace workspace;
  AttendScratch attend_scratch;
  NetScratch net_scratch;
  std::unordered_map<void*, Block> allocations;

  // Makes room for forwards of so many rows; throws std::bad_alloc. Never shrinks.
  void reserve(const Weights&, uint32_t n_rows);
};

std::string cpu_name();

// One product of a region: out (n_rows, n_out) = rows * weight^T [+ bias] [+ out].
struct Product {
  const PackedMatrix* weight;
  float* out;
  const float* bias;  // (n_out) or NULL
  bool accumulate;
};

// How n_rows x n_groups are cut into tasks. Results never depend on the cut.
struct Cut {
  uint32_t n_rows, n_groups;
  uint32_t rows_per_task, groups_per_task;
  uint32_t n_row_tasks, n_group_tasks;

  Cut(uint32_t n_rows, uint32_t n_groups, uint32_t n_workers);
  // The same task size over another matrix.
  Cut over(uint32_t groups) const;
  uint32_t n_tasks() const { return n_row_tasks * n_group_tasks; }
  struct Part {
    uint32_t row_begin, row_end, group_begin, group_end;
  };
  Part part(uint32_t task) const;
};

LinearTask linear_task(const Product&, const ReadyRows&, const Cut::Part&);
void multiply(const Device&, const LinearTask&, const ReadyRows&, uint32_t worker);

// What a row needs for products with some weights.
struct RowForms {
  bool blocks = false;
  bool bf16 = false;
  bool plain = false;
};
RowForms forms_for(const RowSpan&, std::initializer_list<const PackedMatrix*> weights);
// Writes x (n) in these forms; x may be row.plain.
void write_forms(const Device&, RowForms, const float* x, uint32_t n, const ReadyRows& row);

// body(span) for a forward's rows in ascending order: one span, unless prefill has products of its own.
template <class Body>
void for_spans(const Device& device, const tenure_forward& forward, const Body& body) {
  // A host from before `kinds` says nothing of them.
  const uint8_t* kinds = forward.head.struct_size < sizeof(tenure_forward) ? nullptr : forward.kinds;
  const auto prefill_of = [&](uint32_t row) {
    const bool decode = kinds && kinds[row] == TENURE_ROWS_DECODE;
    return decode ? nullptr : device.prefill;
  };
  for (uint32_t first = 0, end = 0; first < forward.n_rows; first = end) {
    const PrefillProducts* prefill = prefill_of(first);
    while (end < forward.n_rows && prefill_of(end) == prefill) ++end;
    body(RowSpan{first, end - first, prefill});
  }
}

// Readies a span's rows, then runs tasks on them: ready(r, row), body(task, worker, rows), r counted in the
// span. With few rows both share one parallel region.
template <class Ready, class Body>
void with_ready_rows(Device& device, const RowSpan& span, uint32_t n_in, uint32_t n_tasks, const Ready& ready,
                     const Body& body) {
  const uint32_t n_rows = span.n_rows;
  const auto fill = [&](const ReadyRows& rows, uint32_t begin, uint32_t end) {
    for (uint32_t r = begin; r < end; ++r) ready(r, rows.row(r, n_in));
  };
  Workspace& space = device.workspace;
  space.rows.prefill = span.prefill;
  if (n_rows > kFewRows) {
    constexpr uint32_t kRowsPerTask = 8;
    device.exec.for_each((n_rows + kRowsPerTask - 1) / kRowsPerTask, [&](uint32_t task, uint32_t) {
      const uint32_t begin = task * kRowsPerTask;
      fill(space.rows, begin, begin + kRowsPerTask < n_rows ? begin + kRowsPerTask : n_rows);
    });
    device.exec.for_each(n_tasks, [&](uint32_t task, uint32_t worker) { body(task, worker, space.rows); });
    return;
  }
  const uint64_t region = ++space.region;
  device.exec.for_each(n_tasks, [&](uint32_t task, uint32_t worker) {
    Worker& own = space.workers[worker];
    if (own.ready_for != region) {
      own.rows.prefill = span.prefill;
      fill(own.rows, 0, n_rows);
      own.ready_for = region;
    }
    body(task, worker, own.rows);
  });
}

// body(row) for each row; up to kFewRows on the calling thread, without a parallel region.
template <class Body>
void for_rows(const Device& device, uint32_t n_rows, const Body& body) {
  device.exec.for_each((n_rows + kFewRows - 1) / kFewRows, [&](uint32_t task, uint32_t) {
    const uint32_t begin = task * kFewRows;
    for (uint32_t row = begin; row < begin + kFewRows && row < n_rows; ++row) body(row);
  });
}

// The product that a block adds to x. Where a post norm comes between, it goes to scratch: a norm needs the
// whole row, and add_normed() adds it.
Product block_product(const Device&, const PackedMatrix&, const float* post_norm, float* x);
void add_normed(const Device&, const Weights&, const float* post_norm, uint32_t n_rows, float* x);

// ---- ops, one file each; arguments as in <tenure/backend.h> ----
void embed(Device&, const Weights&, const tenure_forward&, float* x);

struct QkvCall {
  uint32_t layer;
  const float* x;
  float* q;
  float* k;
  float* v;
  float* hidden;  // or NULL
};
void qkv(Device&, const Weights&, const tenure_forward&, const QkvCall&);
void attn_out(Device&, const Weights&, const tenure_forward&, uint32_t layer, const float* in, float* x);
void mlp(Device&, const Weights&, const tenure_forward&, uint32_t layer, float* x);
void head_logits(Device&, const Weights&, const tenure_forward&, const float* x, uint32_t n_wants,
                 const tenure_want* wants);

// Notes the first layer whose input row is not finite; several workers may find the same.
void note_bad_row(const tenure_forward&, uint32_t row, uint32_t layer);

}  // namespace tenure::cpu
