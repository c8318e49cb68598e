#include "amx.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace tenure::cpu {
namespace {

// CPUID leaf 7, EDX.
constexpr unsigned kAmxBf16 = 1u << 22;
constexpr unsigned kAmxTile = 1u << 24;
// <asm/prctl.h> of kernels since 5.16; older ones refuse the request.
constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
constexpr long kTileData = 18;               // XFEATURE_XTILEDATA

bool ask() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return false;
  constexpr unsigned needed = kAmxBf16 | kAmxTile;
  return (edx & needed) == needed && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace

bool amx_permitted() {
  static const bool permitted = ask();  // holds for every thread of the process
  return permitted;
}

}  // namespace tenure::cpu
