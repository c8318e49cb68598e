#include "device.h"

#include <cpuid.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>

namespace tenure::cpu {
namespace {

// Gives out consecutive 64-byte aligned arrays; with no base it only counts.
class Layout {
 public:
  explicit Layout(std::byte* base) : base_(base) {}
  template <class T>
  T* array(uint64_t n) {
    std::byte* p = base_ ? base_ + bytes_ : nullptr;
    bytes_ += (n * sizeof(T) + 63) / 64 * 64;
    return reinterpret_cast<T*>(p);
  }
  uint64_t bytes() const { return bytes_; }

 private:
  std::byte* base_;
  uint64_t bytes_ = 0;
};

ReadyRows ready_rows(Layout& layout, uint64_t n_rows, uint32_t n_in, bool with_bf16) {
  ReadyRows rows{.plain = layout.array<float>(n_rows * n_in),
                 .blocks = layout.array<ActivationBlock>(n_rows * (n_in / kBlock))};
  // A span's rows start at the first: padding goes behind the last.
  if (with_bf16) rows.bf16 = layout.array<uint16_t>((n_rows + kPrefillRowUnit) * bf16_stride(n_in));
  return rows;
}

uint64_t lay_out(Workspace& space, bool with_bf16, std::byte* base) {
  Layout layout(base);
  const WorkspaceSize& size = space.size;
  // Wanted rows may outnumber a small batch's.
  space.rows = ready_rows(layout, std::max(size.n_rows, kHeadRows), size.widest_input, with_bf16);
  space.feed_forward = layout.array<float>(uint64_t{size.n_rows} * size.n_ff);
  space.block_output = layout.array<float>(uint64_t{size.n_rows} * size.n_block_output);
  space.slices = layout.array<LogitSlice>(uint64_t{size.n_slices} * kHeadRows);
  // A tile holds the up projection next to the gate's, or a slice of logits.
  const uint64_t tile =
      std::max({uint64_t{kFewRows} * size.n_ff, uint64_t{kTaskRows} * kPanelGroups * kGroupRows,
                uint64_t{kHeadRows} * kSliceGroups * kGroupRows});
  for (Worker& worker : space.workers) {
    worker.rows = ready_rows(layout, kFewRows, size.widest_input, with_bf16);
    worker.tile = layout.array<float>(tile);
    if (with_bf16) worker.panel = layout.array<uint16_t>(kPanelBf16);
  }
  return layout.bytes();
}

uint32_t divide_up(uint32_t a, uint32_t b) {
  return (a + b - 1) / b;
}

}  // namespace

void Device::reserve(const Weights& weights, uint32_t n_rows) {
  Workspace next;
  const WorkspaceSize& old = workspace.size;
  next.size = {
      .n_rows = std::max(old.n_rows, n_rows),
      .widest_input = std::max(old.widest_input, weights.widest_input()),
      .n_ff = std::max(old.n_ff, weights.n_ff()),
      .n_block_output = std::max(old.n_block_output, weights.has_post_norms() ? weights.n_embd() : 0),
      .n_slices = std::max(old.n_slices, divide_up(weights.head().n_groups(), kSliceGroups))};
  next.workers.resize(exec.n_workers());
  const bool with_bf16 = prefill != nullptr;
  next.memory = Block::map(lay_out(next, with_bf16, nullptr));
  if (!next.memory.data()) throw std::bad_alloc();
  lay_out(next, with_bf16, next.memory.data());
  workspace = std::move(next);
}

std::string cpu_name() {
  unsigned words[12] = {};
  for (unsigned i = 0; i < 3; ++i) {
    unsigned* w = words + 4 * i;
    if (!__get_cpuid(0x80000002u + i, w, w + 1, w + 2, w + 3)) return "x86-64";
  }
  char name[sizeof words + 1] = {};
  std::memcpy(name, words, sizeof words);
  const std::string full(name);
  const size_t end = full.find_last_not_of(' ');
  return end == std::string::npos ? "x86-64" : full.substr(full.find_first_not_of(' '), end + 1);
}

// Tasks: few enough to be cheap (each >= 10 us where there is that much work), enough that a worker whose
// core is taken away for a while does not hold up the others. Few rows take whole panels, each one stream
// from memory; many rows wait for arithmetic, and two groups are what their widest tiles take.
Cut::Cut(uint32_t rows, uint32_t groups, uint32_t n_workers) : n_rows(rows), n_groups(groups) {
  const bool few = rows <= kFewRows;
  n_row_tasks = std::max(1u, divide_up(rows, kTaskRows));
  rows_per_task = std::max(1u, divide_up(rows, n_row_tasks));
  const uint32_t wanted = n_workers == 1 ? 1 : divide_up((few ? 4 : 8) * n_workers, n_row_tasks);
  const uint32_t unit = few ? kPanelGroups : 2;
  groups_per_task = std::max(1u, divide_up(divide_up(groups, wanted), unit)) * unit;
  n_group_tasks = divide_up(groups, groups_per_task);
}

Cut Cut::over(uint32_t groups) const {
  Cut other = *this;
  other.n_groups = groups;
  other.n_group_tasks = divide_up(groups, groups_per_task);
  return other;
}

Cut::Part Cut::part(uint32_t task) const {
  const uint32_t row = task / n_group_tasks * rows_per_task;
  const uint32_t group = task % n_group_tasks * groups_per_task;
  return {.row_begin = row,
          .row_end = std::min(row + rows_per_task, n_rows),
          .group_begin = group,
          .group_end = std::min(group + groups_per_task, n_groups)};
}

namespace {

bool on_tiles(const PrefillProducts* prefill, uint32_t dtype) {
  return prefill && prefill->takes(dtype);
}

}  // namespace

LinearTask linear_task(const Product& product, const ReadyRows& rows, const Cut::Part& part) {
  const PackedMatrix& weight = *product.weight;
  const uint32_t first = part.group_begin * kGroupRows;
  const void* x = rows.plain + uint64_t{part.row_begin} * weight.n_in;
  if (is_quantised(weight.dtype)) x = rows.blocks + uint64_t{part.row_begin} * (weight.n_in / kBlock);
  if (on_tiles(rows.prefill, weight.dtype)) x = rows.row(part.row_begin, weight.n_in).bf16;
  return {.weight = product.weight,
          .group_begin = part.group_begin,
          .group_end = part.group_end,
          .x = x,
          .n_rows = part.row_end - part.row_begin,
          .accumulate = product.accumulate,
          .out = product.out + uint64_t{part.row_begin} * weight.n_out + first,
          .out_stride = weight.n_out,
          .bias = product.bias ? product.bias + first : nullptr};
}

void multiply(const Device& device, const LinearTask& task, const ReadyRows& rows, uint32_t worker) {
  if (on_tiles(rows.prefill, task.weight->dtype))
    rows.prefill->linear(task, device.workspace.workers[worker].panel);
  else
    device.kernels->linear(task);
}

RowForms forms_for(const RowSpan& span, std::initializer_list<const PackedMatrix*> weights) {
  RowForms forms;
  for (const PackedMatrix* weight : weights) {
    const bool bf16 = on_tiles(span.prefill, weight->dtype);
    const bool blocks = !bf16 && is_quantised(weight->dtype);
    forms.bf16 = forms.bf16 || bf16;
    forms.blocks = forms.blocks || blocks;
    forms.plain = forms.plain || !(bf16 || blocks);
  }
  return forms;
}

void write_forms(const Device& device, RowForms forms, const float* x, uint32_t n, const ReadyRows& row) {
  if (forms.blocks) device.kernels->quantise(x, n, row.blocks);
  if (forms.bf16) row.prefill->narrow(x, n, row.bf16);
  if (forms.plain && x != row.plain) std::memcpy(row.plain, x, n * sizeof(float));
}

void note_bad_row(const tenure_forward& forward, uint32_t row, uint32_t layer) {
  std::atomic_ref<int32_t> first(forward.first_bad_layer[row]);
  if (first.load(std::memory_order_relaxed) < 0)
    first.store(static_cast<int32_t>(layer), std::memory_order_relaxed);
}

}  // namespace tenure::cpu
