// One safetensors file, read as the file of a stranger: 8 bytes of header length (little-endian), a JSON
// header {name: {dtype, shape, data_offsets}}, then the tensors' bytes without gap or overlap to the file's
// end. A broken rule is an Error, never a crash.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "error/codes.h"
#include "tensor/dtype.h"
#include "weights/mapped_file.h"

namespace tenure {

// One tensor as the header lists it. A type that is not run still has its name, shape and bytes;
// SafetensorsFile::view_of refuses it.
struct SafetensorsTensor {
  std::string name;
  std::string dtype;               // "BF16"
  std::vector<uint64_t> shape;     // rows first, as the file has it
  std::optional<TensorView> view;  // empty: the type, rank or alignment is not run
  std::span<const std::byte> bytes;
  uint64_t offset = 0;  // bytes from the file's start
};

// Limits of ours but the header's, which is the format's.
struct SafetensorsLimits {
  static constexpr uint64_t header_bytes = 100'000'000;
  static constexpr uint64_t n_tensors = 262'144;
  static constexpr uint64_t tensor_name_bytes = 1'024;
  static constexpr size_t rank = 16;
};

// Owns the mapping; every view it gives lives as long as it does, also after a move. Const and free of state:
// any thread.
class SafetensorsFile {
 public:
  // Throws Error: model_missing, input_unreadable, model_malformed.
  static SafetensorsFile open(const std::string& path);
  // Over bytes of the caller's, which outlive the result. `name` is what errors call the file.
  static SafetensorsFile parse(std::span<const std::byte> bytes, std::string name);

  const std::string& name() const { return name_; }
  std::span<const std::byte> bytes() const { return bytes_; }
  std::span<const SafetensorsTensor> tensors() const { return tensors_; }  // ascending by offset
  // The header's "__metadata__", ascending by key.
  std::span<const std::pair<std::string, std::string>> metadata() const { return metadata_; }

  // Throws model_unsupported when the tensor's type, rank or alignment is not run.
  const TensorView& view_of(const SafetensorsTensor&) const;

  // Takes the whole pages inside `part` out of memory. A no-op for parse() and for bytes that are not this
  // file's.
  void drop(std::span<const std::byte> part) const noexcept { mapping_.drop(part); }

  // An Error about this file with the code; `text` is one line.
  [[noreturn]] void fail(Code code, std::string text) const;

 private:
  SafetensorsFile(MappedFile mapping, std::span<const std::byte> bytes, std::string name);
  void read_header();
  void check_coverage(uint64_t data_begin);

  std::string name_;
  MappedFile mapping_;
  std::span<const std::byte> bytes_;
  std::vector<SafetensorsTensor> tensors_;
  std::vector<std::pair<std::string, std::string>> metadata_;
};

}  // namespace tenure
