#include "weights/safetensors_writer.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "error/error.h"
#include "tensor/dtype.h"

namespace tenure {
namespace {

constexpr float most = 65504;  // of f16

void append(std::string& bytes, const TensorToWrite& tensor) {
  for (const float value : tensor.values) {
    if (!(std::fabs(value) <= most)) {
      throw Error(Code::plugin_failed, fmt::format("tensor {} has the value {}, which f16 does not hold", tensor.name, value));
    }
    const uint16_t half = f32_to_f16(value);
    bytes += static_cast<char>(half & 0xff);
    bytes += static_cast<char>(half >> 8);
  }
}

}  // namespace

std::string safetensors_f16(const std::vector<TensorToWrite>& tensors, const std::vector<std::pair<std::string, std::string>>& metadata) {
  nlohmann::ordered_json header;
  for (const auto& [key, value] : metadata) header["__metadata__"][key] = value;
  uint64_t offset = 0;
  for (const TensorToWrite& tensor : tensors) {
    const uint64_t end = offset + tensor.values.size() * sizeof(uint16_t);
    header[tensor.name] = {{"dtype", "F16"}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  text.append((8 - text.size() % 8) % 8, ' ');  // so that the data are aligned
  std::string bytes;
  bytes.reserve(8 + text.size() + offset);
  for (int byte = 0; byte < 8; ++byte) bytes += static_cast<char>(text.size() >> (8 * byte) & 0xff);
  bytes += text;
  for (const TensorToWrite& tensor : tensors) append(bytes, tensor);
  return bytes;
}

}  // namespace tenure
