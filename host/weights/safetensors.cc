#include "weights/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>

#include "error/error.h"
#include "weights/checked.h"
#include "weights/gguf_value.h"
#include "weights/json_file.h"

namespace tenure {
namespace {

constexpr uint64_t length_bytes = 8;

struct SafetensorsType {
  std::string_view name;
  uint32_t bits;
  std::optional<Dtype> dtype;  // empty: known, not run
};

constexpr std::array<SafetensorsType, 21> types = {{
    {"F32", 32, Dtype::f32}, {"F16", 16, Dtype::f16}, {"BF16", 16, Dtype::bf16}, {"F64", 64, {}},
    {"I64", 64, {}},         {"U64", 64, {}},         {"C64", 64, {}},           {"I32", 32, {}},
    {"U32", 32, {}},         {"I16", 16, {}},         {"U16", 16, {}},           {"I8", 8, {}},
    {"U8", 8, {}},           {"BOOL", 8, {}},         {"F8_E4M3", 8, {}},        {"F8_E5M2", 8, {}},
    {"F8_E8M0", 8, {}},      {"F6_E2M3", 6, {}},      {"F6_E3M2", 6, {}},        {"F4", 4, {}},
    {"F8_E4M3FNUZ", 8, {}},
}};

const SafetensorsType* find_type(std::string_view name) {
  const auto found = std::find_if(types.begin(), types.end(),
                                  [&](const SafetensorsType& type) { return type.name == name; });
  return found == types.end() ? nullptr : &*found;
}

// Reads one entry of the header.
class TensorEntry {
 public:
  TensorEntry(const SafetensorsFile& file, const std::string& name, JsonObject entry)
      : file_(file), name_(name), entry_(std::move(entry)) {}

  // data: the bytes after the header.
  SafetensorsTensor read(std::span<const std::byte> data, uint64_t data_begin) const {
    if (name_.empty() || name_.size() > SafetensorsLimits::tensor_name_bytes) {
      file_.fail(Code::model_malformed, fmt::format("a tensor's name has {} bytes; 1 to {} are allowed",
                                                    name_.size(), SafetensorsLimits::tensor_name_bytes));
    }
    for (const auto& [key, value] : entry_.value().items()) {
      if (key != "dtype" && key != "shape" && key != "data_offsets")
        malformed(
            fmt::format("has the key \"{}\"; dtype, shape and data_offsets are allowed", printable(key)));
    }
    SafetensorsTensor tensor{.name = name_, .dtype = std::string(entry_.require_string("dtype"))};
    tensor.shape = uints("shape");
    if (tensor.shape.size() > SafetensorsLimits::rank) {
      malformed(
          fmt::format("has rank {}; at most {} is allowed", tensor.shape.size(), SafetensorsLimits::rank));
    }
    const std::vector<uint64_t> offsets = uints("data_offsets");
    if (offsets.size() != 2) malformed(fmt::format("has {} data_offsets; 2 are expected", offsets.size()));
    if (offsets[0] > offsets[1] || offsets[1] > data.size()) {
      malformed(fmt::format("has data_offsets [{}, {}], but the file has {} bytes of data", offsets[0],
                            offsets[1], data.size()));
    }
    tensor.offset = data_begin + offsets[0];
    tensor.bytes = data.subspan(offsets[0], offsets[1] - offsets[0]);
    check_size(tensor);
    tensor.view = view(tensor);
    return tensor;
  }

 private:
  [[noreturn]] void malformed(std::string text) const {
    file_.fail(Code::model_malformed, fmt::format("tensor \"{}\" {}", printable(name_), text));
  }

  std::vector<uint64_t> uints(std::string_view key) const {
    const nlohmann::json* list = entry_.find(key);
    if (!list || !list->is_array()) malformed(fmt::format("has no array \"{}\"", key));
    std::vector<uint64_t> numbers;
    for (const nlohmann::json& number : *list) {
      if (!number.is_number_unsigned())
        malformed(fmt::format("has a \"{}\" that is not of integers of 0 or more", key));
      numbers.push_back(number.get<uint64_t>());
    }
    return numbers;
  }

  // A type that is newer than our list keeps its size to itself.
  void check_size(const SafetensorsTensor& tensor) const {
    std::optional<uint64_t> elements = 1;
    for (const uint64_t n : tensor.shape) {
      elements = checked_mul(*elements, n);
      if (!elements) malformed("is malformed: the product of its shape overflows");
    }
    const SafetensorsType* type = find_type(tensor.dtype);
    if (!type) return;
    const auto bits = checked_mul(*elements, type->bits);
    if (!bits) malformed("is malformed: its size overflows");
    if (*bits % 8 != 0 || *bits / 8 != tensor.bytes.size()) {
      malformed(fmt::format("has {} bytes of data; type {} and shape [{}] ask for {}", tensor.bytes.size(),
                            tensor.dtype, fmt::join(tensor.shape, ", "), *bits / 8));
    }
  }

  // Backends read elements in place, so they must be aligned; files of the format's first months are not.
  static std::optional<TensorView> view(const SafetensorsTensor& tensor) {
    const SafetensorsType* type = find_type(tensor.dtype);
    if (!type || !type->dtype || tensor.shape.empty() || tensor.shape.size() > 4) return std::nullopt;
    if (tensor.offset % (type->bits / 8) != 0) return std::nullopt;
    TensorView result{
        .dtype = *type->dtype, .n_dims = static_cast<uint32_t>(tensor.shape.size()), .bytes = tensor.bytes};
    std::copy(tensor.shape.rbegin(), tensor.shape.rend(), result.shape.begin());
    return result;
  }

  const SafetensorsFile& file_;
  const std::string& name_;
  JsonObject entry_;
};

}  // namespace

SafetensorsFile SafetensorsFile::open(const std::string& path) {
  MappedFile mapping = MappedFile::open(path);
  const auto bytes = mapping.bytes();
  return {std::move(mapping), bytes, path};
}

SafetensorsFile SafetensorsFile::parse(std::span<const std::byte> bytes, std::string name) {
  return {{}, bytes, std::move(name)};
}

SafetensorsFile::SafetensorsFile(MappedFile mapping, std::span<const std::byte> bytes, std::string name)
    : name_(std::move(name)), mapping_(std::move(mapping)), bytes_(bytes) {
  read_header();
}

void SafetensorsFile::fail(Code code, std::string text) const {
  throw Error(Diagnostic{.code = code, .text = std::move(text), .where = {.file = name_}});
}

void SafetensorsFile::read_header() {
  if (bytes_.size() < length_bytes)
    fail(Code::model_malformed, fmt::format("not a safetensors file: {} bytes", bytes_.size()));
  const uint64_t n = load<uint64_t>(bytes_, 0);
  if (n > SafetensorsLimits::header_bytes || n > bytes_.size() - length_bytes) {
    fail(Code::model_malformed,
         fmt::format("not a safetensors file, or a cut one: its first 8 bytes say that the header has {} "
                     "bytes; the file has {}, and at most {} are allowed",
                     n, bytes_.size(), SafetensorsLimits::header_bytes));
  }
  const std::string_view text = text_of(bytes_.subspan(length_bytes, n));
  if (!text.starts_with('{'))
    fail(Code::model_malformed, "not a safetensors file: the header does not begin with \"{\"");
  const JsonFile header = JsonFile::parse(text, name_);
  const uint64_t data_begin = length_bytes + n;
  const nlohmann::json& entries = header.root().value();
  if (entries.size() > SafetensorsLimits::n_tensors) {
    fail(Code::model_malformed,
         fmt::format("{} tensors; at most {} are allowed", entries.size(), SafetensorsLimits::n_tensors));
  }
  for (const auto& [name, value] : entries.items()) {
    const JsonObject entry = header.root().require_object(name);
    if (name == "__metadata__") {
      for (const auto& [key, unused] : value.items()) metadata_.emplace_back(key, entry.require_string(key));
    } else {
      tensors_.push_back(TensorEntry(*this, name, entry).read(bytes_.subspan(data_begin), data_begin));
    }
  }
  check_coverage(data_begin);
}

// Bytes that two tensors share, or none uses, could carry another file in this one.
void SafetensorsFile::check_coverage(uint64_t data_begin) {
  std::sort(tensors_.begin(), tensors_.end(), [](const SafetensorsTensor& a, const SafetensorsTensor& b) {
    return std::pair(a.offset, a.bytes.size()) < std::pair(b.offset, b.bytes.size());
  });
  uint64_t covered = data_begin;
  for (const SafetensorsTensor& tensor : tensors_) {
    if (tensor.offset != covered) {
      fail(Code::model_malformed,
           fmt::format(
               "tensor \"{}\" begins at byte {}, but the data before it end at {}: {}",
               printable(tensor.name), tensor.offset, covered,
               tensor.offset < covered ? "tensors overlap" : "bytes between them belong to no tensor"));
    }
    covered += tensor.bytes.size();
  }
  if (covered != bytes_.size()) {
    fail(Code::model_malformed,
         fmt::format("the last tensor ends at byte {}, but the file has {} bytes", covered, bytes_.size()));
  }
}

const TensorView& SafetensorsFile::view_of(const SafetensorsTensor& tensor) const {
  if (tensor.view) return *tensor.view;
  const SafetensorsType* type = find_type(tensor.dtype);
  std::string why = fmt::format("has type {}; supported are F32, F16, BF16", printable(tensor.dtype));
  if (type && type->dtype) {
    why = tensor.shape.empty() || tensor.shape.size() > 4
              ? fmt::format("has rank {}; supported is 1 to 4", tensor.shape.size())
              : "does not begin at a multiple of its elements' size; a current version of safetensors saves "
                "it so";
  }
  fail(Code::model_unsupported, fmt::format("tensor \"{}\" {}", printable(tensor.name), why));
}

}  // namespace tenure
