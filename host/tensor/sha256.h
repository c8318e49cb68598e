// SHA-256 (FIPS 180-4). Names files and models; not meant for secrets.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace tenure {

// Bytes in any number of pieces, then finish() once.
class Sha256 {
 public:
  void update(std::span<const std::byte> bytes);
  std::array<std::byte, 32> finish();

 private:
  void compress(const std::byte* block);  // 64 bytes

  std::array<uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::byte, 64> block_{};
  uint64_t n_bytes_ = 0;
};

// 64 lower-case hex digits.
std::string sha256_hex(std::span<const std::byte> bytes);
// Of a file's content, read in pieces. Throws Error input_missing or input_unreadable.
std::string sha256_file(const std::string& path);

}  // namespace tenure
