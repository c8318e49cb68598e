// Any bytes give a readable file or an Error. Whatever is accepted is read to its last element.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "error/error.h"
#include "weights/safetensors.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void read_tensors(const tenure::SafetensorsFile& file) {
  uint64_t n_bytes = 0;
  for (const tenure::SafetensorsTensor& tensor : file.tensors()) {
    n_bytes += tensor.bytes.size();
    require(tensor.offset + tensor.bytes.size() <= file.bytes().size());
    if (!tensor.bytes.empty()) {
      volatile std::byte touched = tensor.bytes.front();
      touched = tensor.bytes.back();
      (void)touched;
    }
    if (tensor.view)
      require(tenure::checked_bytes(tensor.view->dtype, tensor.view->elements()) == tensor.bytes.size());
  }
  require(n_bytes <= file.bytes().size());  // no byte belongs to two
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    read_tensors(tenure::SafetensorsFile::parse(std::as_bytes(std::span(data, size)), "fuzz"));
  } catch (const tenure::Error&) {
  }
  return 0;
}
