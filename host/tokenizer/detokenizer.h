// Bytes of tokens in, complete UTF-8 out: a token may end inside a character, streamed text must not.
#pragma once

#include <string>
#include <string_view>

namespace tenure {

// One stream's state: at most 3 bytes that wait for the rest of their character. Not thread-safe.
class Detokenizer {
 public:
  // Appends what is complete to `text`; ill-formed bytes become U+FFFD.
  void push(std::string_view bytes, std::string& text);
  // The stream is over: a character that never got complete becomes one U+FFFD. Ready for a new stream
  // afterwards.
  void finish(std::string& text);

 private:
  std::string pending_;
};

std::string replace_invalid_utf8(std::string_view bytes);

}  // namespace tenure
