// One metadata entry of a GGUF file: a typed view into its bytes. Numbers are little-endian and not aligned.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace tenure {

enum class GgufType : uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12,
};

std::string_view name(GgufType);
// Bytes of one value; 0 for string and array, whose length is in the file.
uint32_t fixed_bytes(GgufType);
bool is_integer(GgufType);

// The parser has walked the payload, so every length inside it fits. Valid as long as the file it was read
// from.
struct GgufValue {
  std::string_view key;
  GgufType type = GgufType::u8;
  GgufType element_type = GgufType::u8;  // of an array, else = type
  uint64_t count = 1;                    // elements of an array, else 1
  std::span<const std::byte> payload;    // the values; strings keep their 8-byte lengths
};

// Reads `sizeof(T)` bytes at `at`; the caller has checked that they are there.
template <typename T>
T load(std::span<const std::byte> bytes, uint64_t at);

// The text that follows an 8-byte length at `at`, a length the parser has checked.
std::string_view load_string(std::span<const std::byte> bytes, uint64_t at);

// For a person: "576", "gpt2", "[49152 strings] <|endoftext|>, <|im_start|>, …". One line, control bytes
// escaped.
std::string preview(const GgufValue&);

// Bytes of a hostile file made fit for a message: control and non-ASCII bytes as \xNN, cut after 64.
std::string printable(std::string_view);

}  // namespace tenure
