#include "train/weights_output.h"

#include <fmt/format.h>

#include "weights/safetensors_writer.h"

namespace tenure {

std::string weights_output(const std::vector<TrainableLayer>& layers, const std::vector<TrainedLayer>& trained,
                           std::vector<std::pair<std::string, std::string>> metadata) {
  std::vector<TensorToWrite> tensors;
  for (size_t l = 0; l < layers.size(); ++l) {
    for (size_t p = 0; p < layers[l].parameters.size(); ++p) {
      const TrainableParameter& parameter = layers[l].parameters[p];
      tensors.push_back({.name = fmt::format("layers.{}.{}", l, parameter.name), .shape = parameter.shape, .values = trained[l].parameters[p]});
    }
  }
  metadata.insert(metadata.begin(), {"format", "tenure.weights/1"});
  return safetensors_f16(tensors, metadata);
}

}  // namespace tenure
