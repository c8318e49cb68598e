#include "rope.h"

#include <algorithm>
#include <cmath>

namespace tenure::cpu {
namespace {

constexpr uint32_t kFine = 256;
constexpr uint32_t kRowsPerTask = 16;

}  // namespace

RopeTable::RopeTable(double base, uint32_t rope_dim, uint32_t kind, std::span<const float> factors)
    : base_(base), rope_dim_(rope_dim), kind_(kind), factors_(factors.begin(), factors.end()) {
  const uint32_t n_pairs = rope_dim / 2;
  for (uint32_t i = 0; i < n_pairs; ++i) {
    const double factor = factors.empty() ? 1.0 : static_cast<double>(factors[i]);
    frequency_.push_back(std::pow(base, -2.0 * i / rope_dim) / factor);
  }
  for (uint32_t p = 0; p < kFine; ++p)
    for (uint32_t i = 0; i < n_pairs; ++i)
      fine_.push_back({std::cos(p * frequency_[i]), std::sin(p * frequency_[i])});
}

void RopeTable::reserve(uint32_t n_positions) {
  const uint32_t n_pairs = rope_dim_ / 2;
  if (n_pairs == 0) return;
  const size_t n = n_positions / kFine + 1;
  coarse_.reserve(n * n_pairs);
  for (size_t c = coarse_.size() / n_pairs; c < n; ++c) {
    for (uint32_t i = 0; i < n_pairs; ++i) {
      const double angle = static_cast<double>(c * kFine) * frequency_[i];
      coarse_.push_back({std::cos(angle), std::sin(angle)});
    }
  }
}

RopeTable::Turn RopeTable::turn(uint32_t position, uint32_t pair) const {
  const uint32_t n_pairs = rope_dim_ / 2;
  const size_t c = size_t{position / kFine} * n_pairs + pair;
  const Turn fine = fine_[size_t{position % kFine} * n_pairs + pair];
  Turn coarse;
  if (c < coarse_.size()) {
    coarse = coarse_[c];
  } else {
    const double angle = static_cast<double>(position - position % kFine) * frequency_[pair];
    coarse = {std::cos(angle), std::sin(angle)};
  }
  return {coarse.cos * fine.cos - coarse.sin * fine.sin, coarse.sin * fine.cos + coarse.cos * fine.sin};
}

Rotation RopeTable::at(int32_t position, float* buffer) const {
  const uint32_t magnitude =
      position < 0 ? 0u - static_cast<uint32_t>(position) : static_cast<uint32_t>(position);
  float* cos = buffer;
  float* sin = buffer + kBufferFloats / 2;
  for (uint32_t i = 0; i < rope_dim_ / 2; ++i) {
    const Turn t = turn(magnitude, i);
    const float c = static_cast<float>(t.cos);
    const float s = static_cast<float>(position < 0 ? -t.sin : t.sin);
    if (kind_ == TENURE_ROPE_INTERLEAVED) {
      cos[2 * i] = cos[2 * i + 1] = c;
      sin[2 * i] = -s;
      sin[2 * i + 1] = s;
    } else {
      cos[i] = c;
      sin[i] = s;
    }
  }
  return {.cos = cos, .sin = sin, .rope_dim = rope_dim_, .kind = kind_};
}

void rope(const AttendKernels& kernels, const Exec& exec, const RopeTable& table, const RopeCall& call) {
  const uint64_t q_row = uint64_t{call.n_heads} * call.head_dim;
  const uint64_t k_row = uint64_t{call.n_kv_heads} * call.head_dim;
  const auto rotate_rows = [&](uint32_t task, uint32_t) {
    alignas(64) float buffer[RopeTable::kBufferFloats];
    const uint32_t end = std::min(call.n_rows, (task + 1) * kRowsPerTask);
    for (uint32_t r = task * kRowsPerTask; r < end; ++r) {
      const Rotation rotation = table.at(call.positions[r], buffer);
      kernels.rotate(rotation, call.q + r * q_row, call.n_heads, call.head_dim, call.q_out + r * q_row);
      kernels.rotate(rotation, call.k + r * k_row, call.n_kv_heads, call.head_dim, call.k_out + r * k_row);
    }
  };
  exec.for_each((call.n_rows + kRowsPerTask - 1) / kRowsPerTask, rotate_rows);
}

}  // namespace tenure::cpu
