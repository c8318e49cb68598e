// Products of f32 matrices for training, lent to policies as tenure.gemm/1.
#pragma once

#include <tenure/host.h>

#include <string>

#include "attend_exec.h"

namespace tenure::cpu {

// Before any product: OpenBLAS takes no threads of its own.
void prepare_gemm();

// Why the product cannot be computed, or nothing.
std::string gemm_fault(const tenure_gemm&);
void gemm(const Exec&, const tenure_gemm&);

}  // namespace tenure::cpu
