#include "plugin/elf.h"

#include <elf.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <string_view>
#include <vector>

namespace tenure {
namespace {

#if defined(__x86_64__)
constexpr uint16_t our_machine = EM_X86_64;
#elif defined(__aarch64__)
constexpr uint16_t our_machine = EM_AARCH64;
#else
#error "name this machine's e_machine"
#endif

std::string machine_name(uint16_t machine) {
  switch (machine) {
    case EM_X86_64:
      return "x86_64";
    case EM_AARCH64:
      return "aarch64";
    case EM_386:
      return "i386";
    case EM_ARM:
      return "arm";
    case EM_RISCV:
      return "riscv";
    case EM_PPC64:
      return "ppc64";
    default:
      return fmt::format("ELF machine {}", machine);
  }
}

bool read_at(int descriptor, void* to, size_t bytes, uint64_t offset) {
  return pread(descriptor, to, bytes, static_cast<off_t>(offset)) == static_cast<ssize_t>(bytes);
}

bool fits(uint64_t offset, uint64_t bytes, uint64_t file_bytes) {
  return offset <= file_bytes && bytes <= file_bytes - offset;
}

std::string truncated(uint64_t needed_end, uint64_t file_bytes) {
  return fmt::format("truncated: its ELF headers speak of {} bytes, the file has {}", needed_end, file_bytes);
}

std::string header_fault(const Elf64_Ehdr& header) {
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return "not an ELF file";
  if (header.e_ident[EI_CLASS] != ELFCLASS64) return "a 32-bit library, this machine is 64-bit";
  if (header.e_machine != our_machine) {
    return fmt::format("built for {}, this machine is {}", machine_name(header.e_machine),
                       machine_name(our_machine));
  }
  if (header.e_type != ET_DYN) return "an ELF file, but not a shared library";
  if (header.e_phentsize != sizeof(Elf64_Phdr)) return "not a well-formed ELF file";
  return {};
}

}  // namespace

std::string elf_fault(int descriptor) {
  struct stat status {};
  Elf64_Ehdr header{};
  if (fstat(descriptor, &status) != 0) return std::strerror(errno);
  const auto file_bytes = static_cast<uint64_t>(status.st_size);
  if (!read_at(descriptor, &header, sizeof header, 0)) return "too short for an ELF file";
  if (std::string fault = header_fault(header); !fault.empty()) return fault;

  const uint64_t table_bytes = uint64_t{header.e_phnum} * sizeof(Elf64_Phdr);
  if (!fits(header.e_phoff, table_bytes, file_bytes))
    return truncated(header.e_phoff + table_bytes, file_bytes);
  std::vector<Elf64_Phdr> segments(header.e_phnum);
  if (!read_at(descriptor, segments.data(), table_bytes, header.e_phoff)) return "unreadable";
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type != PT_LOAD || fits(segment.p_offset, segment.p_filesz, file_bytes)) continue;
    return truncated(segment.p_offset + segment.p_filesz, file_bytes);
  }
  // The section table is the last thing in the file, so this sees a lost tail that no segment reaches.
  const uint64_t sections = uint64_t{header.e_shnum} * header.e_shentsize;
  if (!fits(header.e_shoff, sections, file_bytes)) return truncated(header.e_shoff + sections, file_bytes);
  return {};
}

}  // namespace tenure
