// Small networks lent to policies as tenure.nn/1: a block of rows goes through all matrices in one task.
#pragma once

#include <tenure/host.h>

#include <string>
#include <vector>

#include "attend_exec.h"
#include "kernels.h"
#include "memory.h"
#include "net_products.h"

namespace tenure::cpu {

// Rows that one task takes through the network: 128 of 960 inputs and 128 hidden units take 550 KiB of a 1 MiB L2.
constexpr uint32_t kNetRows = 128;

// What a worker's block of rows is in before and after each matrix; grows with the networks that are created.
class NetScratch {
 public:
  // Throws std::bad_alloc. Not while a network runs.
  void reserve(uint32_t n_workers, uint32_t widest);
  // Each (kNetRows, widest), of pairs with room for an odd input's other half
  float* rows(uint32_t worker) const { return third(worker, 0); }
  float* next_rows(uint32_t worker) const { return third(worker, 1); }
  uint16_t* pairs(uint32_t worker) const { return reinterpret_cast<uint16_t*>(third(worker, 2)); }
  const float* ones() const { return ones_.data(); }  // (kNetRows, widest)

 private:
  float* third(uint32_t worker, uint32_t which) const;

  Block memory_;
  uint32_t n_workers_ = 0;
  uint32_t widest_ = 0;
  std::vector<float> ones_;
};

// What products a network may use: fixed when the backend is created.
struct NetKernels {
  const Kernels* kernels = nullptr;
  const PairProducts* pairs = nullptr;  // for matrices of 16 bits; NULL: none
};

class Net {
 public:
  // `config` has been checked with fault(). Throws std::bad_alloc.
  Net(const tenure_net_config& config, const NetKernels& kernels, const Exec& exec);
  // Why such a network cannot be run, or nothing.
  static std::string fault(const tenure_net_config&);
  // Why these rows are no input of it, or nothing.
  std::string fault(const tenure_net_rows&) const;

  // The widest row between two matrices, the input included.
  uint32_t widest() const;
  void run(const Exec&, const NetScratch&, const tenure_net_rows&) const;

 private:
  // In one of two forms.
  struct Matrix {
    PackedMatrix plain;
    PairMatrix pairs;  // data NULL: it is plain
    std::vector<float> bias;  // empty: none
    const float* bias_or_null() const { return bias.empty() ? nullptr : bias.data(); }
    uint64_t bytes() const;
  };
  Matrix matrix_of(const tenure_matrix& source) const;
  void pack(const tenure_matrix& source, uint8_t* data, const Exec& exec, Matrix& matrix) const;
  void run_block(const NetScratch&, uint32_t worker, const tenure_net_rows& block) const;

  NetKernels kernels_;
  uint32_t activation_;
  Block memory_;  // of the matrices
  std::vector<Matrix> matrices_;
};

}  // namespace tenure::cpu
