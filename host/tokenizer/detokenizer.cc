#include "tokenizer/detokenizer.h"

#include "tokenizer/utf8.h"

namespace tenure {

void Detokenizer::push(std::string_view bytes, std::string& text) {
  std::string joined;
  if (!pending_.empty()) {
    joined = pending_.append(bytes);
    bytes = joined;
    pending_.clear();
  }
  while (!bytes.empty()) {
    const Utf8Sequence sequence = read_utf8(bytes);
    if (sequence.status == Utf8Status::incomplete) {
      pending_ = bytes;
      return;
    }
    text += sequence.status == Utf8Status::valid ? bytes.substr(0, sequence.n_bytes) : replacement_character;
    bytes.remove_prefix(sequence.n_bytes);
  }
}

void Detokenizer::finish(std::string& text) {
  if (!pending_.empty()) text += replacement_character;
  pending_.clear();
}

std::string replace_invalid_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  Detokenizer detokenizer;
  detokenizer.push(bytes, text);
  detokenizer.finish(text);
  return text;
}

}  // namespace tenure
