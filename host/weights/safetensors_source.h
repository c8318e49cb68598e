// A Hugging Face model folder: config.json, *.safetensors, tokenizer.json, and what stands beside them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "weights/folder_weights.h"
#include "weights/json_file.h"
#include "weights/model_source.h"

namespace tenure {

class SafetensorsSource final : public ModelSource {
 public:
  // Reads config.json and the tensors' headers. Throws as ModelSource::open does.
  explicit SafetensorsSource(const std::string& folder);

  const std::string& name() const override { return folder_; }
  TokenizerMetadata tokenizer() const override;
  ModelWeights weights(const ModelConfig&) const override;
  void drop(std::span<const std::byte> part) const noexcept override { tensors_.drop(part); }

 protected:
  ModelConfig read_config() const override { return model_.config; }

 private:
  std::string folder_;  // without a slash at its end
  SafetensorsFolder tensors_;
  JsonFile config_;  // config.json
  FolderModel model_;
  mutable FloatBuffers floats_;  // filled by weights()
};

// Names of the files in `folder` that a source reads, ascending.
std::vector<std::string> safetensors_source_names(const std::string& folder);

}  // namespace tenure
