#include "emulated_kernels.h"

#include "attend_decode_kernel.h"
#include "attend_prefill_amx.h"
#include "attend_rows_kernel.h"
#include "emulated_tiles.h"
#include "linear_amx.h"

namespace tenure::cpu {

const PrefillProducts kEmulatedProducts = prefill_products<EmulatedTiles>("emulated");
const AttendKernels kAttendEmulated = attend_kernels_with(
    "emulated", prefill_kernel<TileProducts<EmulatedTiles>>(), prefill_kernel<ExactProducts>());

}  // namespace tenure::cpu
