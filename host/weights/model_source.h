// A model on disk, whatever it was saved as: what the rest of the host reads models through.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "weights/model_config.h"
#include "weights/model_weights.h"
#include "weights/tokenizer_metadata.h"

namespace tenure {

// Const members may be called by any thread; every view they give lives as long as the source.
class ModelSource {
 public:
  // A GGUF file, or a Hugging Face model folder with safetensors. Throws Error: model_missing,
  // input_unreadable, model_malformed, model_unsupported.
  static std::unique_ptr<ModelSource> open(const std::string& path);
  virtual ~ModelSource() = default;

  virtual const std::string& name() const = 0;  // what errors call it
  // These throw as read_model_config, read_tokenizer_metadata and read_model_weights do; config() as the last one, too, for the
  // norms are part of its fingerprint.
  ModelConfig config() const;
  virtual TokenizerMetadata tokenizer() const = 0;
  virtual ModelWeights weights(const ModelConfig&) const = 0;

  // Takes the whole pages inside `part` out of memory, after a backend made its own copy.
  virtual void drop(std::span<const std::byte> part) const noexcept = 0;

 protected:
  // Sealed by its sizes alone.
  virtual ModelConfig read_config() const = 0;
};

// What names the bytes a model was read from, 64 hex digits: a file's sha256; of a folder the sha256 of the
// lines that `sha256sum` prints for the files that are read, ascending by name. Throws Error: input_missing,
// input_unreadable.
std::string model_sha256(const std::string& path);

}  // namespace tenure
