// Any bytes give a readable file or an Error. Whatever is accepted is read to its last element.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "error/error.h"
#include "weights/gguf.h"
#include "weights/model_weights.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void read_values(const tenure::GgufFile& file) {
  for (const tenure::GgufValue& value : file.values()) {
    require(tenure::preview(value).size() < 1024);
    require(file.find_value(value.key) == &value);
    try {
      if (value.type == tenure::GgufType::array && value.element_type == tenure::GgufType::string) {
        require(file.find_strings(value.key)->size() == value.count);
      } else {
        file.find_uints(value.key);
      }
    } catch (const tenure::Error&) {
    }
  }
}

void read_tensors(const tenure::GgufFile& file) {
  for (const tenure::GgufTensor& tensor : file.tensors()) {
    const auto bytes = tensor.view.bytes;
    require(bytes.size() <= file.bytes().size());
    if (!bytes.empty()) {
      volatile std::byte touched = bytes.front();
      touched = bytes.back();
      (void)touched;
    }
    if (tensor.runnable)
      require(tenure::checked_bytes(tensor.view.dtype, tensor.view.elements()) == bytes.size());
  }
}

void read_model(const tenure::GgufFile& file) {
  const tenure::ModelConfig config = tenure::read_model_config(file);
  const tenure::ModelWeights weights = tenure::read_model_weights(file, config);
  require(weights.layers.size() == config.n_layers && config.layers.size() == config.n_layers);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const tenure::GgufFile file = tenure::GgufFile::parse(std::as_bytes(std::span(data, size)), "fuzz");
    read_values(file);
    read_tensors(file);
    try {
      tenure::read_tokenizer_metadata(file);
    } catch (const tenure::Error&) {
    }
    read_model(file);
  } catch (const tenure::Error&) {
  }
  return 0;
}
