#include "linear_amx.h"

#include "hardware_tiles.h"

namespace tenure::cpu {

const PrefillProducts kAmxProducts = prefill_products<HardwareTiles>("amx");

}  // namespace tenure::cpu
