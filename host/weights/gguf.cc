#include "weights/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "error/error.h"
#include "weights/ggml_type.h"

namespace tenure {
namespace {

bool is_scalar_integer(const GgufValue& value) {
  return is_integer(value.type);
}
bool is_scalar_float(const GgufValue& value) {
  return value.type == GgufType::f32 || value.type == GgufType::f64;
}
bool is_scalar_bool(const GgufValue& value) {
  return value.type == GgufType::boolean;
}
bool is_scalar_string(const GgufValue& value) {
  return value.type == GgufType::string;
}
bool is_integer_array(const GgufValue& value) {
  return value.type == GgufType::array && is_integer(value.element_type);
}
bool is_bool_array(const GgufValue& value) {
  return value.type == GgufType::array && value.element_type == GgufType::boolean;
}
bool is_string_array(const GgufValue& value) {
  return value.type == GgufType::array && value.element_type == GgufType::string;
}

std::string type_text(const GgufValue& value) {
  if (value.type != GgufType::array) return std::string(name(value.type));
  return fmt::format("array of {}", name(value.element_type));
}

}  // namespace

GgufFile GgufFile::open(const std::string& path) {
  MappedFile mapping = MappedFile::open(path);
  const auto bytes = mapping.bytes();
  return {std::move(mapping), bytes, path};
}

GgufFile GgufFile::parse(std::span<const std::byte> bytes, std::string name) {
  return {{}, bytes, std::move(name)};
}

GgufFile::GgufFile(MappedFile mapping, std::span<const std::byte> bytes, std::string name)
    : name_(std::move(name)),
      mapping_(std::move(mapping)),
      bytes_(bytes),
      contents_(parse_gguf(bytes_, name_)) {}

void GgufFile::fail(Code code, std::string text) const {
  throw Error(Diagnostic{.code = code, .text = std::move(text), .where = {.file = name_}});
}

const TensorView* GgufFile::find(std::string_view tensor) const {
  const auto& order = contents_.tensors_by_name;
  const auto found = std::lower_bound(
      order.begin(), order.end(), tensor,
      [&](uint32_t i, std::string_view wanted) { return contents_.tensors[i].name < wanted; });
  if (found == order.end() || contents_.tensors[*found].name != tensor) return nullptr;
  const GgufTensor& entry = contents_.tensors[*found];
  if (!entry.runnable) {
    fail(Code::model_unsupported,
         fmt::format("tensor \"{}\" has type {}; supported are {}", printable(tensor),
                     ggml_type_name(entry.ggml_type), runnable_ggml_types()));
  }
  return &entry.view;
}

const GgufValue* GgufFile::find_value(std::string_view key) const {
  const auto& order = contents_.values_by_key;
  const auto found =
      std::lower_bound(order.begin(), order.end(), key,
                       [&](uint32_t i, std::string_view wanted) { return contents_.values[i].key < wanted; });
  if (found == order.end() || contents_.values[*found].key != key) return nullptr;
  return &contents_.values[*found];
}

const GgufValue* GgufFile::find_typed(std::string_view key, bool (*fits)(const GgufValue&),
                                      std::string_view expected) const {
  const GgufValue* value = find_value(key);
  if (value && !fits(*value)) {
    fail(Code::model_malformed,
         fmt::format("key \"{}\" has type {}; {} is expected", key, type_text(*value), expected));
  }
  return value;
}

uint64_t GgufFile::to_uint(const GgufValue& value, uint64_t at) const {
  int64_t number = 0;
  switch (value.element_type) {
    case GgufType::u8:
      return load<uint8_t>(value.payload, at);
    case GgufType::u16:
      return load<uint16_t>(value.payload, at);
    case GgufType::u32:
      return load<uint32_t>(value.payload, at);
    case GgufType::u64:
      return load<uint64_t>(value.payload, at);
    case GgufType::i8:
      number = load<int8_t>(value.payload, at);
      break;
    case GgufType::i16:
      number = load<int16_t>(value.payload, at);
      break;
    case GgufType::i32:
      number = load<int32_t>(value.payload, at);
      break;
    default:
      number = load<int64_t>(value.payload, at);
      break;
  }
  if (number < 0) {
    fail(Code::model_malformed,
         fmt::format("key \"{}\" is {}; it cannot be negative", printable(value.key), number));
  }
  return static_cast<uint64_t>(number);
}

std::optional<uint64_t> GgufFile::find_uint(std::string_view key) const {
  const GgufValue* value = find_typed(key, is_scalar_integer, "an integer");
  if (!value) return std::nullopt;
  return to_uint(*value, 0);
}

std::optional<double> GgufFile::find_float(std::string_view key) const {
  const GgufValue* value = find_typed(key, is_scalar_float, "f32 or f64");
  if (!value) return std::nullopt;
  return value->type == GgufType::f32 ? load<float>(value->payload, 0) : load<double>(value->payload, 0);
}

std::optional<bool> GgufFile::find_bool(std::string_view key) const {
  const GgufValue* value = find_typed(key, is_scalar_bool, "bool");
  if (!value) return std::nullopt;
  return load<uint8_t>(value->payload, 0) != 0;
}

std::optional<std::string_view> GgufFile::find_string(std::string_view key) const {
  const GgufValue* value = find_typed(key, is_scalar_string, "string");
  if (!value) return std::nullopt;
  return load_string(value->payload, 0);
}

std::optional<std::vector<uint64_t>> GgufFile::find_uints(std::string_view key) const {
  const GgufValue* value = find_typed(key, is_integer_array, "an array of integers");
  if (!value) return std::nullopt;
  const uint64_t step = fixed_bytes(value->element_type);
  std::vector<uint64_t> numbers(value->count);
  for (uint64_t i = 0; i < value->count; ++i) numbers[i] = to_uint(*value, i * step);
  return numbers;
}

std::optional<std::vector<bool>> GgufFile::find_bools(std::string_view key) const {
  const GgufValue* value = find_typed(key, is_bool_array, "an array of bool");
  if (!value) return std::nullopt;
  std::vector<bool> bools(value->count);
  for (uint64_t i = 0; i < value->count; ++i) bools[i] = load<uint8_t>(value->payload, i) != 0;
  return bools;
}

std::optional<std::vector<std::string_view>> GgufFile::find_strings(std::string_view key) const {
  const GgufValue* value = find_typed(key, is_string_array, "an array of strings");
  if (!value) return std::nullopt;
  std::vector<std::string_view> strings(value->count);
  uint64_t at = 0;
  for (std::string_view& text : strings) {
    text = load_string(value->payload, at);
    at += sizeof(uint64_t) + text.size();
  }
  return strings;
}

template <typename T>
T GgufFile::require(std::optional<T> found, std::string_view key) const {
  if (!found)
    fail(Code::model_malformed, fmt::format("key \"{}\" is absent; this architecture needs it", key));
  return *found;
}

uint64_t GgufFile::require_uint(std::string_view key) const {
  return require(find_uint(key), key);
}
double GgufFile::require_float(std::string_view key) const {
  return require(find_float(key), key);
}
std::string_view GgufFile::require_string(std::string_view key) const {
  return require(find_string(key), key);
}

double GgufFile::checked_positive(std::string_view key, double value, double most) const {
  if (value > 0 && value <= most) return value;
  fail(Code::model_malformed, fmt::format("key \"{}\" is {}; above 0, up to {} is allowed", key, value, most));
}

}  // namespace tenure
