#include "attend_decode_kernel.h"
#include "attend_prefill_kernel.h"
#include "attend_rows_kernel.h"

namespace tenure::cpu {

const AttendKernels kAttendScalar =
    attend_kernels_with("scalar", prefill_kernel<ExactProducts>(), prefill_kernel<ExactProducts>());

}  // namespace tenure::cpu
