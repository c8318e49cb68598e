// GPT-2's spelling of bytes: each of the 256 bytes has one printable character, so that a vocabulary is valid
// text.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tenure {

// The character (as UTF-8) that spells `byte`.
std::string spell_byte(uint8_t byte);

// The bytes that `spelling` stands for; nullopt if a character of it spells no byte.
std::optional<std::string> spelled_bytes(std::string_view spelling);

}  // namespace tenure
