// Writes safetensors bytes, right or wrong: what a test states is what is in the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace tenure::test {

// `n_header` bytes are said to be the header; -1 = as many as there are.
inline std::vector<std::byte> safetensors_bytes(const std::string& header, size_t n_data, int64_t n_header = -1) {
  const uint64_t n = n_header < 0 ? header.size() : static_cast<uint64_t>(n_header);
  std::vector<std::byte> bytes;
  for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<std::byte>(n >> (8 * i)));
  for (const char c : header) bytes.push_back(static_cast<std::byte>(c));
  bytes.resize(bytes.size() + n_data);
  return bytes;
}

}  // namespace tenure::test
