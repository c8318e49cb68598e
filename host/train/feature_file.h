// Features and labels of all documents in one file, layer after layer, so that training a layer reads one stretch of it:
// of each layer the bf16 input rows of every document, then the f32 labels of every document.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "record/file_io.h"
#include "weights/mapped_file.h"

namespace tenure {

class FeatureLayout {
 public:
  struct Layer {
    uint32_t n_inputs = 0;
    uint32_t n_outputs = 0;  // 0: the file has nothing of the layer
  };
  // n_tokens: of each document.
  FeatureLayout(std::vector<uint32_t> n_tokens, std::vector<Layer> layers);

  uint32_t n_documents() const { return static_cast<uint32_t>(first_row_.size() - 1); }
  uint32_t n_tokens(uint32_t document) const { return static_cast<uint32_t>(first_row_[document + 1] - first_row_[document]); }
  uint32_t longest() const;
  const Layer& layer(uint32_t layer) const { return layers_[layer]; }
  uint64_t inputs_at(uint32_t layer, uint32_t document) const;  // bytes from the file's start
  uint64_t labels_at(uint32_t layer, uint32_t document) const;
  uint64_t layer_begin(uint32_t layer) const { return begins_[layer]; }
  uint64_t bytes() const { return begins_.back(); }

 private:
  std::vector<Layer> layers_;
  std::vector<uint64_t> first_row_;  // (n_documents + 1)
  std::vector<uint64_t> begins_;     // (n_layers + 1) whole pages
};

// Throws Error: cannot_create, write_failed.
class FeatureWriter {
 public:
  // What is there already stays.
  FeatureWriter(std::string path, const FeatureLayout& layout);

  // Rows of the document from `first` on.
  void write_inputs(uint32_t layer, uint32_t document, uint32_t first, std::span<const uint16_t> rows);
  void write_labels(uint32_t layer, uint32_t document, std::span<const float> labels);
  // What was written so far survives a power cut.
  void sync();

 private:
  void write(const void* data, size_t bytes, uint64_t offset);

  std::string path_;
  const FeatureLayout& layout_;
  FileDescriptor file_;
};

class FeatureFile {
 public:
  // Throws Error when the file is not as long as the layout.
  FeatureFile(const std::string& path, const FeatureLayout& layout);

  const FeatureLayout& layout() const { return layout_; }
  std::span<const uint16_t> inputs(uint32_t layer, uint32_t document) const;  // (n_tokens, n_inputs)
  std::span<const float> labels(uint32_t layer, uint32_t document) const;     // (n_tokens, n_outputs)
  // Takes a layer out of memory.
  void drop(uint32_t layer) const;

 private:
  const FeatureLayout& layout_;
  MappedFile file_;
};

}  // namespace tenure
