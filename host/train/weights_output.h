// Trained layers as the file that tenure.weights/1 lends to the policy: tensors "layers.{l}.{name}", and in the metadata what
// they are of.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "plugin/trainable.h"
#include "train/work_folder.h"

namespace tenure {

// The file's bytes. metadata: beside the format's name.
std::string weights_output(const std::vector<TrainableLayer>& layers, const std::vector<TrainedLayer>& trained,
                           std::vector<std::pair<std::string, std::string>> metadata);

}  // namespace tenure
