// May this process use AMX tiles?
#pragma once

namespace tenure::cpu {

// The CPU has tiles and bf16 products of them, and the system lets this process use them: Linux keeps the 8
// KiB of tile state off until a process asks. Asks at the first call, which must come before a kernel uses
// tiles.
bool amx_permitted();

}  // namespace tenure::cpu
