// GGUF v2 and v3 (little-endian), read as the file of a stranger: every count, length, offset and type is
// checked before it is used, nothing is allocated beyond a small multiple of the file's size, and a broken
// rule is an Error, never a crash.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "error/codes.h"
#include "tensor/dtype.h"
#include "weights/gguf_value.h"
#include "weights/mapped_file.h"

namespace tenure {

// One tensor as the file lists it. A type that is not run still has its name, shape and bytes (no bytes where
// even the type's number is unknown); GgufFile::find refuses it.
struct GgufTensor {
  std::string_view name;
  uint32_t ggml_type = 0;
  bool runnable = false;  // view.dtype means something
  TensorView view;
  uint64_t offset = 0;  // bytes from the file's start
};

// Limits of ours, all far above what model files use.
struct GgufLimits {
  static constexpr uint64_t n_values = 65'536;
  static constexpr uint64_t n_tensors = 65'536;
  static constexpr uint64_t string_bytes = 16 << 20;
  static constexpr uint64_t key_bytes = 65'535;
  static constexpr uint64_t tensor_name_bytes = 64;
  static constexpr uint64_t min_alignment = 8;
  static constexpr uint64_t max_alignment = 1 << 20;
  static constexpr uint32_t array_depth = 4;
};

// What the parser makes of the bytes; views into them.
struct GgufContents {
  uint32_t version = 0;
  uint64_t alignment = 32;
  std::vector<GgufValue> values;          // file order
  std::vector<GgufTensor> tensors;        // file order
  std::vector<uint32_t> values_by_key;    // indices into values, ascending by key
  std::vector<uint32_t> tensors_by_name;  // indices into tensors, ascending by name
};

// Throws Error model_malformed or model_unsupported naming `file`, the key or tensor, and the byte.
GgufContents parse_gguf(std::span<const std::byte> bytes, const std::string& file);

// Owns the mapping; every view it gives lives as long as it does, also after a move. Const and free of state:
// any thread.
class GgufFile {
 public:
  // Throws Error: model_missing, input_unreadable, model_malformed, model_unsupported.
  static GgufFile open(const std::string& path);
  // Over bytes of the caller's, which outlive the result. `name` is what errors call the file.
  static GgufFile parse(std::span<const std::byte> bytes, std::string name);

  const std::string& name() const { return name_; }
  uint32_t version() const { return contents_.version; }
  std::span<const GgufValue> values() const { return contents_.values; }
  std::span<const GgufTensor> tensors() const { return contents_.tensors; }
  std::span<const std::byte> bytes() const { return bytes_; }

  // nullptr when absent. Throws model_unsupported when the tensor is there in a type that is not run.
  const TensorView* find(std::string_view tensor) const;

  // Empty when the key is absent. Each throws model_malformed when the key has another type: integers may be
  // of any width but not negative, floats f32 or f64; nothing is converted between kinds.
  const GgufValue* find_value(std::string_view key) const;
  std::optional<uint64_t> find_uint(std::string_view key) const;
  std::optional<double> find_float(std::string_view key) const;
  std::optional<bool> find_bool(std::string_view key) const;
  std::optional<std::string_view> find_string(std::string_view key) const;
  std::optional<std::vector<uint64_t>> find_uints(std::string_view key) const;
  std::optional<std::vector<bool>> find_bools(std::string_view key) const;
  std::optional<std::vector<std::string_view>> find_strings(std::string_view key) const;
  // The same, but absence is an error too.
  uint64_t require_uint(std::string_view key) const;
  double require_float(std::string_view key) const;
  std::string_view require_string(std::string_view key) const;
  // `value`, which is the key's; model_malformed unless it is above 0 and at most `most`.
  double checked_positive(std::string_view key, double value, double most) const;

  // Takes the whole pages inside `part` out of memory, after a backend made its own copy. A no-op for
  // parse().
  void drop(std::span<const std::byte> part) const noexcept { mapping_.drop(part); }

  // An Error about this file with the code; `text` is one line.
  [[noreturn]] void fail(Code code, std::string text) const;

 private:
  GgufFile(MappedFile mapping, std::span<const std::byte> bytes, std::string name);
  const GgufValue* find_typed(std::string_view key, bool (*fits)(const GgufValue&),
                              std::string_view expected) const;
  uint64_t to_uint(const GgufValue&, uint64_t at) const;
  template <typename T>
  T require(std::optional<T> found, std::string_view key) const;

  std::string name_;
  MappedFile mapping_;
  std::span<const std::byte> bytes_;
  GgufContents contents_;
};

}  // namespace tenure
