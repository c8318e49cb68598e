// Takes the places of amx.cc, linear_amx.cc and attend_amx.cc in a build of the whole backend, so that
// conformance and goldens go through the AMX code path on machines without AMX.
#include "amx.h"
#include "attend_decode_kernel.h"
#include "attend_prefill_amx.h"
#include "attend_rows_kernel.h"
#include "emulated_tiles.h"
#include "linear_amx.h"

namespace tenure::cpu {

bool amx_permitted() {
  return true;
}
const PrefillProducts kAmxProducts = prefill_products<EmulatedTiles>("amx");
const AttendKernels kAttendAmx = attend_kernels_with("amx", prefill_kernel<TileProducts<EmulatedTiles>>(),
                                                     prefill_kernel<ExactProducts>());

}  // namespace tenure::cpu
