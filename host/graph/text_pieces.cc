#include "graph/text_pieces.h"

#include <algorithm>

namespace tenure {

std::optional<std::string> TextPieces::next() {
  at_ = std::min(text_.find_first_not_of('\n', at_), text_.size());
  if (at_ == text_.size()) return std::nullopt;
  size_t end = text_.size();
  if (end - at_ > max_bytes_) {
    const size_t last_end = text_.rfind('\n', at_ + max_bytes_);  // the end itself is not in the piece
    end = last_end != std::string::npos && last_end > at_ ? last_end : std::min(text_.find('\n', at_), end);
  }
  std::string piece = text_.substr(at_, end - at_);
  at_ = end;
  piece.erase(piece.find_last_not_of('\n') + 1);
  return piece;
}

}  // namespace tenure
