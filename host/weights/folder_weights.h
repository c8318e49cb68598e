// A Hugging Face model folder's tensors by role.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weights/config_json.h"
#include "weights/model_weights.h"
#include "weights/safetensors_folder.h"

namespace tenure {

// Norms and biases that the files do not hold as they are used, made once. Any thread.
class FloatBuffers {
 public:
  // The bytes of `values`, or of what was kept under this name before; they live as long as this object.
  std::span<const std::byte> keep(const std::string& name, std::vector<float> values);

 private:
  std::mutex mutex_;
  std::map<std::string, std::vector<float>> kept_;
};

// Throws as read_folder_weights does when the embedding is not (n_vocab, n_embd): before n_vocab sizes
// anything.
void check_embedding(const SafetensorsFolder&, const FolderModel&);

// Bytes of the tensors that read_folder_weights takes.
uint64_t folder_weights_bytes(const SafetensorsFolder&, const ModelConfig&);

// Throws Error naming the tensor: model_malformed when one is absent or has another shape, model_unsupported
// when its type is not run here or the folder holds a tensor that this family does not use. Of a model with a
// vision tower the text's part is read.
ModelWeights read_folder_weights(const SafetensorsFolder&, const FolderModel&, FloatBuffers&);

}  // namespace tenure
