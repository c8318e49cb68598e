#include "manifest/toml_guard.h"

#include <fmt/format.h>

#include <cstdint>

namespace tenure {
namespace {

// Length of the well-formed UTF-8 sequence at `i` (Unicode 15, table 3-7), or 0.
size_t utf8_length(std::string_view s, size_t i) {
  const auto byte = [&](size_t k) { return k < s.size() ? static_cast<uint8_t>(s[k]) : uint8_t{0}; };
  const auto tail = [&](size_t k) { return (byte(k) & 0xC0) == 0x80; };
  const uint8_t b = byte(i);
  if (b < 0x80) return 1;
  if (b >= 0xC2 && b <= 0xDF) return tail(i + 1) ? 2 : 0;
  if (b >= 0xE0 && b <= 0xEF) {
    if (!tail(i + 1) || !tail(i + 2)) return 0;
    if (b == 0xE0 && byte(i + 1) < 0xA0) return 0;
    if (b == 0xED && byte(i + 1) > 0x9F) return 0;
    return 3;
  }
  if (b >= 0xF0 && b <= 0xF4) {
    if (!tail(i + 1) || !tail(i + 2) || !tail(i + 3)) return 0;
    if (b == 0xF0 && byte(i + 1) < 0x90) return 0;
    if (b == 0xF4 && byte(i + 1) > 0x8F) return 0;
    return 4;
  }
  return 0;
}

std::optional<GuardFinding> refuse_bytes(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const uint8_t b = static_cast<uint8_t>(text[i]);
    if (b == 0) return GuardFinding{Code::toml_encoding, i, 1, "a NUL byte"};
    const size_t n = utf8_length(text, i);
    if (n == 0)
      return GuardFinding{Code::toml_encoding, i, 1, fmt::format("byte 0x{:02x} is not UTF-8 here", b)};
    const bool line_end = b == '\n' || (b == '\r' && i + 1 < text.size() && text[i + 1] == '\n');
    if ((b < 0x20 && b != '\t' && !line_end) || b == 0x7F) {
      return GuardFinding{Code::toml_syntax, i, 1, fmt::format("control character 0x{:02x}", b)};
    }
    i += n;
  }
  return std::nullopt;
}

// Walks the text as TOML's lexer would, as far as needed to tell keys, brackets, strings and comments apart.
// Where a text is malformed the two may part, but toml++ stops at that place and never sees what follows.
class StructureScan {
 public:
  explicit StructureScan(std::string_view text) : text_(text) {}

  std::optional<GuardFinding> run() {
    while (i_ < text_.size()) {
      const char c = text_[i_];
      if (c == '"' || c == '\'') {
        skip_string(c);
        continue;
      }
      if (c == '#') {
        while (i_ < text_.size() && text_[i_] != '\n') ++i_;
        continue;
      }
      if (auto finding = step(c)) return finding;
      ++i_;
    }
    return std::nullopt;
  }

 private:
  std::optional<GuardFinding> step(char c) {
    if (static_cast<uint8_t>(c) >= 0x80) {
      return GuardFinding{Code::toml_syntax, i_, utf8_length(text_, i_),
                          "a character beyond ASCII outside a string; put keys that need it in quotes"};
    }
    if (c == '.') {
      if (++dots_ > max_key_dots) {
        return GuardFinding{Code::toml_too_large, i_, 1,
                            fmt::format("a key of more than {} dotted parts", max_key_dots)};
      }
      return std::nullopt;
    }
    if (c == '[' || c == '{') {
      if (++depth_ > max_toml_nesting) {
        return GuardFinding{Code::toml_too_large, i_, 1,
                            fmt::format("values nested more than {} deep", max_toml_nesting)};
      }
    } else if ((c == ']' || c == '}') && depth_ > 0) {
      --depth_;
    }
    if (c == '[' || c == '{' || c == ']' || c == '}' || c == '=' || c == ',' || c == '\n') dots_ = 0;
    return std::nullopt;
  }

  bool triple(char quote) const {
    return i_ + 2 < text_.size() && text_[i_] == quote && text_[i_ + 1] == quote && text_[i_ + 2] == quote;
  }

  void skip_string(char quote) {
    const bool multi_line = triple(quote);
    i_ += multi_line ? 3 : 1;
    while (i_ < text_.size()) {
      if (quote == '"' && text_[i_] == '\\') {
        i_ += 2;
      } else if (multi_line && triple(quote)) {
        i_ += 3;
        // Up to two quotes may stand directly before the closing three.
        for (int extra = 0; extra < 2 && i_ < text_.size() && text_[i_] == quote; ++extra) ++i_;
        return;
      } else if (!multi_line && (text_[i_] == quote || text_[i_] == '\n')) {
        i_ += text_[i_] == quote;
        return;
      } else {
        ++i_;
      }
    }
  }

  std::string_view text_;
  size_t i_ = 0;
  size_t dots_ = 0;
  size_t depth_ = 0;
};

}  // namespace

std::optional<GuardFinding> refuse_toml(std::string_view text) {
  if (text.size() > max_toml_bytes) {
    return GuardFinding{Code::toml_too_large, 0, 0, fmt::format("more than {} bytes", max_toml_bytes)};
  }
  if (auto finding = refuse_bytes(text)) return finding;
  return StructureScan(text).run();
}

}  // namespace tenure
