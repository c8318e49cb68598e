#include "attend_decode_kernel.h"
#include "attend_prefill_amx.h"
#include "attend_rows_kernel.h"
#include "emulated_kernels.h"
#include "emulated_tiles.h"

namespace tenure::cpu {

const AttendKernels kAttendEmulated = attend_kernels_with(
    "emulated", prefill_kernel<TileProducts<EmulatedTiles>>(), prefill_kernel<ExactProducts>());

}  // namespace tenure::cpu
