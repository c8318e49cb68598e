// The tensors of a Hugging Face model folder: model.safetensors, or the files that
// model.safetensors.index.json lists.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weights/safetensors.h"

namespace tenure {

class SafetensorsFolder {
 public:
  static constexpr size_t max_files = 4'096;

  // Throws Error: model_missing, input_unreadable, model_malformed. A file is only ever taken from the folder
  // itself, whatever the index says.
  static SafetensorsFolder open(const std::string& folder);

  struct Tensor {
    const SafetensorsFile* file = nullptr;
    const SafetensorsTensor* entry = nullptr;
  };
  // Ascending by name; names are unique over all files.
  const std::map<std::string_view, Tensor>& tensors() const { return tensors_; }
  std::span<const SafetensorsFile> files() const { return files_; }

  void drop(std::span<const std::byte> part) const noexcept {
    for (const SafetensorsFile& file : files_) file.drop(part);
  }

 private:
  std::vector<SafetensorsFile> files_;
  std::map<std::string_view, Tensor> tensors_;
};

// Names of the files in `folder` that hold the tensors, ascending; the index has been checked.
std::vector<std::string> safetensors_names(const std::string& folder);

}  // namespace tenure
