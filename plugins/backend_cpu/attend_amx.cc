#include "attend_decode_kernel.h"
#include "attend_prefill_amx.h"
#include "attend_rows_kernel.h"
#include "hardware_tiles.h"

namespace tenure::cpu {

const AttendKernels kAttendAmx = attend_kernels_with("amx", prefill_kernel<TileProducts<HardwareTiles>>(),
                                                     prefill_kernel<ExactProducts>());

}  // namespace tenure::cpu
