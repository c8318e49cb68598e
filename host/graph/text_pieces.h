// A text as pieces of whole lines, for requests of bounded length.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace tenure {

class TextPieces {
 public:
  TextPieces(std::string text, uint64_t max_bytes) : text_(std::move(text)), max_bytes_(max_bytes) {}

  // As many of the next lines as fit, without the end of the last; a longer line is a piece of its own. Blank lines between
  // two pieces belong to none. nullopt at the end.
  std::optional<std::string> next();

  // Bytes that were given out or left out.
  uint64_t offset() const { return at_; }

 private:
  std::string text_;
  uint64_t max_bytes_;
  size_t at_ = 0;
};

}  // namespace tenure
