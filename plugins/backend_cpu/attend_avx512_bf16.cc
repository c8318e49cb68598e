#include "attend_decode_kernel.h"
#include "attend_prefill_bf16.h"
#include "attend_rows_kernel.h"

namespace tenure::cpu {

const AttendKernels kAttendAvx512Bf16 =
    attend_kernels_with("avx512_bf16", prefill_kernel<Bf16Products>(), prefill_kernel<ExactProducts>());

}  // namespace tenure::cpu
