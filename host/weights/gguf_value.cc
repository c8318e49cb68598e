#include "weights/gguf_value.h"

#include <fmt/format.h>

#include <cstring>

namespace tenure {
namespace {

struct TypeInfo {
  std::string_view name;
  uint32_t bytes;
  bool integer;
};

constexpr TypeInfo table[] = {
    {"u8", 1, true},  {"i8", 1, true},   {"u16", 2, true},   {"i16", 2, true},     {"u32", 4, true},
    {"i32", 4, true}, {"f32", 4, false}, {"bool", 1, false}, {"string", 0, false}, {"array", 0, false},
    {"u64", 8, true}, {"i64", 8, true},  {"f64", 8, false},
};

const TypeInfo& info(GgufType type) {
  return table[static_cast<uint32_t>(type)];
}

std::string preview_number(GgufType type, std::span<const std::byte> bytes, uint64_t at) {
  switch (type) {
    case GgufType::u8:
      return fmt::format("{}", load<uint8_t>(bytes, at));
    case GgufType::i8:
      return fmt::format("{}", load<int8_t>(bytes, at));
    case GgufType::u16:
      return fmt::format("{}", load<uint16_t>(bytes, at));
    case GgufType::i16:
      return fmt::format("{}", load<int16_t>(bytes, at));
    case GgufType::u32:
      return fmt::format("{}", load<uint32_t>(bytes, at));
    case GgufType::i32:
      return fmt::format("{}", load<int32_t>(bytes, at));
    case GgufType::u64:
      return fmt::format("{}", load<uint64_t>(bytes, at));
    case GgufType::i64:
      return fmt::format("{}", load<int64_t>(bytes, at));
    case GgufType::f32:
      return fmt::format("{}", load<float>(bytes, at));
    case GgufType::f64:
      return fmt::format("{}", load<double>(bytes, at));
    case GgufType::boolean:
      return load<uint8_t>(bytes, at) ? "true" : "false";
    case GgufType::string:
    case GgufType::array:
      break;
  }
  return {};
}

std::string preview_array(const GgufValue& value) {
  constexpr uint64_t shown = 4;
  std::string text = fmt::format("[{} x {}]", value.count, name(value.element_type));
  if (value.element_type == GgufType::array) return text;
  uint64_t at = 0;
  for (uint64_t i = 0; i < value.count && i < shown; ++i) {
    text += i == 0 ? " " : ", ";
    if (value.element_type == GgufType::string) {
      const std::string_view element = load_string(value.payload, at);
      text += printable(element);
      at += sizeof(uint64_t) + element.size();
    } else {
      text += preview_number(value.element_type, value.payload, at);
      at += fixed_bytes(value.element_type);
    }
  }
  return text + (value.count > shown ? ", ..." : "");
}

}  // namespace

std::string_view name(GgufType type) {
  return info(type).name;
}
uint32_t fixed_bytes(GgufType type) {
  return info(type).bytes;
}
bool is_integer(GgufType type) {
  return info(type).integer;
}

template <typename T>
T load(std::span<const std::byte> bytes, uint64_t at) {
  T value;
  std::memcpy(&value, bytes.subspan(at, sizeof value).data(), sizeof value);
  return value;
}
template uint8_t load(std::span<const std::byte>, uint64_t);
template int8_t load(std::span<const std::byte>, uint64_t);
template uint16_t load(std::span<const std::byte>, uint64_t);
template int16_t load(std::span<const std::byte>, uint64_t);
template uint32_t load(std::span<const std::byte>, uint64_t);
template int32_t load(std::span<const std::byte>, uint64_t);
template uint64_t load(std::span<const std::byte>, uint64_t);
template int64_t load(std::span<const std::byte>, uint64_t);
template float load(std::span<const std::byte>, uint64_t);
template double load(std::span<const std::byte>, uint64_t);

std::string_view load_string(std::span<const std::byte> bytes, uint64_t at) {
  const uint64_t length = load<uint64_t>(bytes, at);
  const auto text = bytes.subspan(at + sizeof length, length);
  return {reinterpret_cast<const char*>(text.data()), text.size()};
}

std::string preview(const GgufValue& value) {
  if (value.type == GgufType::array) return preview_array(value);
  if (value.type == GgufType::string) return printable(load_string(value.payload, 0));
  return preview_number(value.type, value.payload, 0);
}

std::string printable(std::string_view text) {
  constexpr size_t longest = 64;
  std::string out;
  for (const char c : text.substr(0, longest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      out += c;
    } else {
      out += fmt::format("\\x{:02x}", byte);
    }
  }
  if (text.size() > longest) out += "...";
  return out;
}

}  // namespace tenure
