#include "emulated_kernels.h"
#include "emulated_tiles.h"
#include "linear_amx.h"

namespace tenure::cpu {

const PrefillProducts kEmulatedProducts = prefill_products<EmulatedTiles>("emulated");

}  // namespace tenure::cpu
