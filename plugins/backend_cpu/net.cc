#include "net.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace tenure::cpu {
namespace {

constexpr uint32_t kMostMatrices = 8;
constexpr uint32_t kMostParts = 8;
constexpr uint64_t kMostUnits = 1u << 16;

uint64_t width_of(const tenure_f32_view& part) {
  uint64_t width = 1;
  for (uint32_t i = 1; i < part.n_dims; ++i) width *= static_cast<uint64_t>(part.shape[i]);
  return width;
}

// to (n_rows, n_in) = the parts side by side.
void gather(const tenure_net_rows& rows, uint32_t n_in, float* to) {
  for (uint32_t p = 0; p < rows.n_parts; ++p) {
    const tenure_f32_view& part = rows.parts[p];
    const uint64_t width = width_of(part);
    for (uint32_t r = 0; r < rows.n_rows; ++r)
      std::memcpy(to + uint64_t{r} * n_in, part.data + r * part.stride[0], width * sizeof(float));
    to += width;
  }
}

PackedMatrix matrix_of(const tenure_matrix& source) {
  return {.dtype = source.dtype,
          .n_out = static_cast<uint32_t>(source.n_out),
          .n_in = static_cast<uint32_t>(source.n_in)};
}

uint64_t line_up(uint64_t bytes) {
  return (bytes + 63) / 64 * 64;
}

std::string matrix_fault(const tenure_matrix& matrix) {
  if (matrix.dtype != TENURE_F32 && matrix.dtype != TENURE_F16 && matrix.dtype != TENURE_BF16)
    return "a network's matrices are f32, f16 or bf16";
  if (matrix.n_out == 0 || matrix.n_in == 0 || matrix.n_out > kMostUnits || matrix.n_in > kMostUnits)
    return "a matrix has 1 to " + std::to_string(kMostUnits) + " inputs and outputs";
  if (!matrix.data) return "a matrix has no data";
  return {};
}

}  // namespace

void NetScratch::reserve(uint32_t n_workers, uint32_t widest) {
  if (n_workers <= n_workers_ && widest <= widest_) return;
  const uint32_t wider = std::max(widest, widest_);
  const uint32_t more = std::max(n_workers, n_workers_);
  Block memory = Block::map(uint64_t{more} * 2 * kNetRows * wider * sizeof(float));
  if (!memory.data()) throw std::bad_alloc();
  ones_.assign(wider, 1.0f);
  memory_ = std::move(memory);
  n_workers_ = more;
  widest_ = wider;
}

float* NetScratch::half(uint32_t worker, uint32_t which) const {
  return reinterpret_cast<float*>(memory_.data()) + (uint64_t{worker} * 2 + which) * kNetRows * widest_;
}

std::string Net::fault(const tenure_net_config& config) {
  if (config.n_matrices == 0 || config.n_matrices > kMostMatrices)
    return "a network has 1 to " + std::to_string(kMostMatrices) + " matrices";
  if (config.activation > TENURE_ACTIVATION_GELU_TANH)
    return "activation " + std::to_string(config.activation) + " is unknown";
  for (uint32_t i = 0; i < config.n_matrices; ++i) {
    const std::string why = matrix_fault(config.matrices[i]);
    if (!why.empty()) return why;
    if (i > 0 && config.matrices[i].n_in != config.matrices[i - 1].n_out)
      return "matrix " + std::to_string(i) + " takes " + std::to_string(config.matrices[i].n_in) +
             " inputs, the one before gives " + std::to_string(config.matrices[i - 1].n_out);
  }
  return {};
}

Net::Net(const tenure_net_config& config, const Exec& exec) : activation_(config.activation) {
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < config.n_matrices; ++i) bytes += line_up(matrix_of(config.matrices[i]).bytes());
  memory_ = Block::map(bytes);
  if (!memory_.data()) throw std::bad_alloc();
  const auto* data = reinterpret_cast<const uint8_t*>(memory_.data());
  for (uint32_t i = 0; i < config.n_matrices; ++i) {
    const tenure_matrix& source = config.matrices[i];
    PackedMatrix matrix = matrix_of(source);
    matrix.data = data;
    data += line_up(matrix.bytes());
    const uint32_t n_panels = (matrix.n_groups() + kPanelGroups - 1) / kPanelGroups;
    exec.for_each(n_panels, [&](uint32_t panel, uint32_t) {
      pack_panel(matrix, static_cast<const uint8_t*>(source.data), panel);
    });
    matrices_.push_back(matrix);
    biases_.emplace_back();
    if (source.bias) biases_.back().assign(source.bias, source.bias + source.n_out);
  }
}

uint32_t Net::widest() const {
  uint32_t widest = 0;
  for (const PackedMatrix& matrix : matrices_) widest = std::max({widest, matrix.n_in, matrix.n_out});
  return widest;
}

std::string Net::fault(const tenure_net_rows& rows) const {
  if (rows.n_parts == 0 || rows.n_parts > kMostParts) return "rows have 1 to " + std::to_string(kMostParts) + " parts";
  uint64_t n_in = 0;
  for (uint32_t p = 0; p < rows.n_parts; ++p) {
    const tenure_f32_view& part = rows.parts[p];
    if (part.n_dims < 2 || part.n_dims > 4 || part.shape[0] != rows.n_rows || !part.data)
      return "part " + std::to_string(p) + " is not n_rows rows";
    n_in += width_of(part);
  }
  if (n_in == matrices_.front().n_in) return {};
  return "the parts are " + std::to_string(n_in) + " wide, the network takes " + std::to_string(matrices_.front().n_in);
}

// One matrix after the other over rows that stay in L2. The activation's kernels gate something; here it is ones.
void Net::run_block(const Kernels& kernels, const NetScratch& scratch, uint32_t worker, const tenure_net_rows& block) const {
  const auto activate = activation_ == TENURE_ACTIVATION_SILU ? kernels.silu_mul : kernels.gelu_mul;
  float* x = scratch.rows(worker);
  float* next = scratch.next_rows(worker);
  gather(block, matrices_.front().n_in, x);
  for (size_t i = 0; i < matrices_.size(); ++i) {
    const PackedMatrix& matrix = matrices_[i];
    const bool last = i + 1 == matrices_.size();
    float* out = last ? block.out : next;
    kernels.linear({.weight = &matrix,
                    .group_begin = 0,
                    .group_end = matrix.n_groups(),
                    .x = x,
                    .n_rows = block.n_rows,
                    .accumulate = false,
                    .out = out,
                    .out_stride = matrix.n_out,
                    .bias = biases_[i].empty() ? nullptr : biases_[i].data()});
    if (last) return;
    for (uint32_t r = 0; r < block.n_rows; ++r) activate(out + uint64_t{r} * matrix.n_out, scratch.ones(), matrix.n_out);
    std::swap(x, next);
  }
}

void Net::run(const Kernels& kernels, const Exec& exec, const NetScratch& scratch, const tenure_net_rows& rows) const {
  const uint32_t n_out = matrices_.back().n_out;
  // At least two tasks a worker, so that none waits long for the last.
  const uint32_t wanted = (rows.n_rows + 2 * exec.n_workers() - 1) / (2 * exec.n_workers());
  const uint32_t per_task = std::clamp(wanted, 16u, kNetRows);
  exec.for_each((rows.n_rows + per_task - 1) / per_task, [&](uint32_t task, uint32_t worker) {
    const uint32_t first = task * per_task;
    tenure_f32_view parts[kMostParts];
    std::copy_n(rows.parts, rows.n_parts, parts);
    for (uint32_t p = 0; p < rows.n_parts; ++p) parts[p].data += first * parts[p].stride[0];
    tenure_net_rows block = rows;
    block.n_rows = std::min(per_task, rows.n_rows - first);
    block.parts = parts;
    block.out = rows.out + uint64_t{first} * n_out;
    run_block(kernels, scratch, worker, block);
  });
}

}  // namespace tenure::cpu
