#include "net.h"

#include <tenure/model.h>

#include <algorithm>
#include <bit>
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

// The same as pairs of bf16, straight from where the parts lie.
void gather_pairs(const PairProducts& products, const tenure_net_rows& rows, uint32_t n_pairs, uint16_t* to) {
  for (uint32_t r = 0; r < rows.n_rows; ++r) {
    uint16_t* row = to + uint64_t{r} * 2 * n_pairs;
    row[2 * n_pairs - 1] = 0;
    for (uint32_t p = 0; p < rows.n_parts; ++p) {
      const tenure_f32_view& part = rows.parts[p];
      const auto width = static_cast<uint32_t>(width_of(part));
      products.narrow(part.data + r * part.stride[0], width, row);
      row += width;
    }
  }
}

float value_at(const tenure_matrix& source, const void* values, uint64_t i) {
  return plain_value(source.dtype, static_cast<const uint8_t*>(values) + i * source_row_bytes(source.dtype, 1));
}

// Nearest, ties to even; what is finite in f16 is finite in bf16.
uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

uint64_t line_up(uint64_t bytes) {
  return (bytes + 63) / 64 * 64;
}

uint32_t n_groups(const PairMatrix& matrix) {
  return (matrix.n_out + kGroupRows - 1) / kGroupRows;
}

uint64_t pair_bytes(const PairMatrix& matrix) {
  return uint64_t{n_groups(matrix)} * matrix.n_pairs * kGroupRows * 4;
}

// One group of a PairMatrix, into zeroed memory.
void pack_group(const tenure_matrix& source, const PairMatrix& matrix, uint32_t group, uint8_t* data) {
  const uint32_t panel = group / kPanelGroups;
  const uint32_t in_panel = std::min(kPanelGroups, n_groups(matrix) - panel * kPanelGroups);
  auto* to = reinterpret_cast<uint16_t*>(data) + uint64_t{panel} * kPanelGroups * matrix.n_pairs * 2 * kGroupRows;
  to += uint64_t{group % kPanelGroups} * 2 * kGroupRows;
  const uint32_t last = std::min(matrix.n_out, (group + 1) * kGroupRows);
  for (uint32_t output = group * kGroupRows; output < last; ++output) {
    for (uint64_t i = 0; i < source.n_in; ++i) {
      const uint64_t at = i / 2 * in_panel * 2 * kGroupRows + 2 * (output % kGroupRows) + i % 2;
      to[at] = to_bf16(value_at(source, source.data, output * source.n_in + i));
    }
  }
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
  Block memory = Block::map(uint64_t{more} * 3 * kNetRows * (wider + 1) * sizeof(float));
  if (!memory.data()) throw std::bad_alloc();
  ones_.assign(uint64_t{kNetRows} * wider, 1.0f);
  memory_ = std::move(memory);
  n_workers_ = more;
  widest_ = wider;
}

float* NetScratch::third(uint32_t worker, uint32_t which) const {
  return reinterpret_cast<float*>(memory_.data()) + (uint64_t{worker} * 3 + which) * kNetRows * (widest_ + 1);
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

uint64_t Net::Matrix::bytes() const {
  return line_up(pairs.n_pairs != 0 ? pair_bytes(pairs) : plain.bytes());
}

// Pairs gain nothing where one group's sums are all there is.
Net::Matrix Net::matrix_of(const tenure_matrix& source) const {
  Matrix matrix{.plain = {.dtype = source.dtype,
                          .n_out = static_cast<uint32_t>(source.n_out),
                          .n_in = static_cast<uint32_t>(source.n_in)},
                .pairs = {},
                .bias = {}};
  if (kernels_.pairs && source.dtype != TENURE_F32 && source.n_out > kGroupRows)
    matrix.pairs = {.n_out = matrix.plain.n_out, .n_pairs = (matrix.plain.n_in + 1) / 2};
  for (uint64_t i = 0; source.bias && i < source.n_out; ++i) matrix.bias.push_back(value_at(source, source.bias, i));
  return matrix;
}

void Net::pack(const tenure_matrix& source, uint8_t* data, const Exec& exec, Matrix& matrix) const {
  if (matrix.pairs.n_pairs != 0) {
    matrix.pairs.data = reinterpret_cast<const uint16_t*>(data);
    exec.for_each(n_groups(matrix.pairs), [&](uint32_t group, uint32_t) { pack_group(source, matrix.pairs, group, data); });
    return;
  }
  matrix.plain.data = data;
  const uint32_t n_panels = (matrix.plain.n_groups() + kPanelGroups - 1) / kPanelGroups;
  exec.for_each(n_panels, [&](uint32_t panel, uint32_t) {
    pack_panel(matrix.plain, static_cast<const uint8_t*>(source.data), panel);
  });
}

Net::Net(const tenure_net_config& config, const NetKernels& kernels, const Exec& exec)
    : kernels_(kernels), activation_(config.activation) {
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < config.n_matrices; ++i) {
    matrices_.push_back(matrix_of(config.matrices[i]));
    bytes += matrices_.back().bytes();
  }
  memory_ = Block::map(bytes);
  if (!memory_.data()) throw std::bad_alloc();
  auto* data = reinterpret_cast<uint8_t*>(memory_.data());
  for (uint32_t i = 0; i < config.n_matrices; ++i) {
    pack(config.matrices[i], data, exec, matrices_[i]);
    data += matrices_[i].bytes();
  }
}

uint32_t Net::widest() const {
  uint32_t widest = 0;
  for (const Matrix& matrix : matrices_) widest = std::max({widest, matrix.plain.n_in, matrix.plain.n_out});
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
  const uint32_t wanted = matrices_.front().plain.n_in;
  if (n_in == wanted) return {};
  return "the parts are " + std::to_string(n_in) + " wide, the network takes " + std::to_string(wanted);
}

// One matrix after the other over rows that stay in L2. The activation's kernels gate something; here it is ones.
void Net::run_block(const NetScratch& scratch, uint32_t worker, const tenure_net_rows& block) const {
  const Kernels& kernels = *kernels_.kernels;
  const auto activate = activation_ == TENURE_ACTIVATION_SILU ? kernels.silu_mul : kernels.gelu_mul;
  float* x = scratch.rows(worker);
  float* next = scratch.next_rows(worker);
  uint16_t* pairs = scratch.pairs(worker);
  for (size_t i = 0; i < matrices_.size(); ++i) {
    const Matrix& matrix = matrices_[i];
    const uint32_t n_in = matrix.plain.n_in, n_out = matrix.plain.n_out, n_pairs = matrix.pairs.n_pairs;
    const bool last = i + 1 == matrices_.size();
    float* out = last ? block.out : next;
    if (n_pairs == 0) {
      if (i == 0) gather(block, n_in, x);
      kernels.linear({.weight = &matrix.plain,
                      .group_begin = 0,
                      .group_end = matrix.plain.n_groups(),
                      .x = x,
                      .n_rows = block.n_rows,
                      .accumulate = false,
                      .out = out,
                      .out_stride = n_out,
                      .bias = matrix.bias_or_null()});
    } else {
      const tenure_f32_view before{.data = x, .n_dims = 2, .shape = {block.n_rows, n_in}, .stride = {n_in, 1}};
      const tenure_net_rows between{.n_rows = block.n_rows, .n_parts = 1, .parts = &before};
      gather_pairs(*kernels_.pairs, i == 0 ? block : between, n_pairs, pairs);
      kernels_.pairs->linear({.weight = &matrix.pairs, .x = pairs, .n_rows = block.n_rows, .out = out, .bias = matrix.bias_or_null()});
    }
    if (last) return;
    activate(out, scratch.ones(), block.n_rows * n_out);
    std::swap(x, next);
  }
}

void Net::run(const Exec& exec, const NetScratch& scratch, const tenure_net_rows& rows) const {
  const uint32_t n_out = matrices_.back().plain.n_out;
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
    run_block(scratch, worker, block);
  });
}

}  // namespace tenure::cpu
