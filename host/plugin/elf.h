// What the dynamic loader would stumble over, said in words before it runs: glibc maps a truncated library
// and dies of SIGBUS, and calls a foreign architecture "wrong ELF class".
#pragma once

#include <string>

namespace tenure {

// Empty when the open file is a complete shared library for this machine, else the reason.
std::string elf_fault(int descriptor);

}  // namespace tenure
