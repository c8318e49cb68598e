// A model's chat template: messages to the text it was trained on.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tenure {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant", or what else the template knows
  std::string content;
};

// What ends a rendered chat: nothing, or the opening of the answer's turn.
enum class ChatEnd : uint8_t { messages, open_assistant };

// Immutable after construction, so every const member is thread-safe.
class ChatTemplate {
 public:
  // `source` is Jinja (the subset of jinja_parser.h), `bos` and `eos` the spelling of those tokens, empty if
  // there are none. Throws Error(template_unsupported) with line and column.
  ChatTemplate(std::string_view source, std::string bos, std::string eos);
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  // As transformers' apply_chat_template renders it, without tools. The text may contain BOS, so none is to
  // be added to it. Throws Error(template_failed) when the template refuses the messages (raise_exception) or
  // breaks a bound.
  std::string render(const std::vector<ChatMessage>& messages, ChatEnd end) const;

  const std::string& eos() const { return eos_; }

 private:
  struct Parsed;
  std::unique_ptr<const Parsed> parsed_;
  std::string bos_;
  std::string eos_;
};

}  // namespace tenure
