// Small networks lent to policies as tenure.nn/1: a block of rows goes through all matrices in one task.
#pragma once

#include <tenure/host.h>

#include <string>
#include <vector>

#include "attend_exec.h"
#include "kernels.h"
#include "memory.h"

namespace tenure::cpu {

// Rows that one task takes through the network: 128 of 960 inputs and 128 hidden units take 550 KiB of a 1 MiB L2.
constexpr uint32_t kNetRows = 128;

// What a worker's block of rows is in before and after each matrix; grows with the networks that are created.
class NetScratch {
 public:
  // Throws std::bad_alloc. Not while a network runs.
  void reserve(uint32_t n_workers, uint32_t widest);
  // Each (kNetRows, widest)
  float* rows(uint32_t worker) const { return half(worker, 0); }
  float* next_rows(uint32_t worker) const { return half(worker, 1); }
  const float* ones() const { return ones_.data(); }  // (widest)

 private:
  float* half(uint32_t worker, uint32_t which) const;

  Block memory_;
  uint32_t n_workers_ = 0;
  uint32_t widest_ = 0;
  std::vector<float> ones_;
};

class Net {
 public:
  // `config` has been checked with fault(). Throws std::bad_alloc.
  Net(const tenure_net_config& config, const Exec& exec);
  // Why such a network cannot be run, or nothing.
  static std::string fault(const tenure_net_config&);
  // Why these rows are no input of it, or nothing.
  std::string fault(const tenure_net_rows&) const;

  // The widest row between two matrices, the input included.
  uint32_t widest() const;
  void run(const Kernels&, const Exec&, const NetScratch&, const tenure_net_rows&) const;

 private:
  void run_block(const Kernels&, const NetScratch&, uint32_t worker, const tenure_net_rows& block) const;

  uint32_t activation_;
  Block memory_;  // of the matrices
  std::vector<PackedMatrix> matrices_;
  std::vector<std::vector<float>> biases_;  // empty: none
};

}  // namespace tenure::cpu
