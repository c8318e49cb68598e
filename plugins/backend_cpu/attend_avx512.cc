#include "attend_decode_kernel.h"
#include "attend_prefill_kernel.h"
#include "attend_rows_kernel.h"

namespace tenure::cpu {

const AttendKernels kAttendAvx512 =
    attend_kernels_with("avx512", prefill_kernel<ExactProducts>(), prefill_kernel<ExactProducts>());

}  // namespace tenure::cpu
