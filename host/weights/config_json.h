// config.json of a Hugging Face model folder → ModelConfig. A key that would change the computation and is
// not run is refused by its name.
#pragma once

#include <string>

#include "weights/json_file.h"
#include "weights/model_config.h"

namespace tenure {

// What the tensors of a family are like, beyond their shapes.
struct TensorLayout {
  bool norms_add_one = false;      // a norm's factor is 1 + w
  bool fused_projections = false;  // q, k and v are rows of one matrix, gate and up of another
};

struct FolderModel {
  ModelConfig config;  // weights_bytes and fingerprint are left to whoever has seen the tensors
  TensorLayout layout;
};

// `name` is what the model is called. Throws Error: model_malformed, model_unsupported.
FolderModel read_config_json(const JsonObject& root, std::string name);

}  // namespace tenure
