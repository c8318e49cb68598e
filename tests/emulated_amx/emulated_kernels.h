// The AMX kernels over emulated tiles; they need AVX-512 with BF16 all the same.
#pragma once

#include "attend_kernels.h"
#include "kernels.h"

namespace tenure::cpu {

bool can_emulate_tiles();
extern const PrefillProducts kEmulatedProducts;
extern const AttendKernels kAttendEmulated;

}  // namespace tenure::cpu
