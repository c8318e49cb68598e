// A safetensors file of f16 tensors, as SafetensorsFile reads it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tenure {

struct TensorToWrite {
  std::string name;  // unique
  std::vector<uint64_t> shape;
  std::span<const float> values;  // row-major, as many as the shape has
};

// The file's bytes. metadata: keys unique. Throws Error (plugin_failed) naming a tensor with a value that f16 does not hold.
std::string safetensors_f16(const std::vector<TensorToWrite>& tensors, const std::vector<std::pair<std::string, std::string>>& metadata);

}  // namespace tenure
