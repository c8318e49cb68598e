// A conversation turn by turn: the texts to feed one after the other so that together they are what the
// template makes of the whole conversation. The template's own additions (BOS, a default system prompt) come
// with the first turn only.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/chat_template.h"

namespace tenure {

// Keeps a reference to the template, which outlives it. Const members are thread-safe.
class ChatTurns {
 public:
  // Throws Error(template_unsupported) where the template cannot be told turn by turn: what it renders for a
  // conversation must be the beginning of what it renders when the conversation goes on.
  explicit ChatTurns(const ChatTemplate& chat);

  // The first message, with what the template puts before it.
  std::string open(const ChatMessage& first) const;
  // The assistant's turn where no message came before it, with what the template puts before it; the answer
  // follows.
  std::string open_with_assistant() const;

  // A later message, after a turn of `previous_role` was closed. Throws Error(template_failed) for roles that
  // the template does not take in that order.
  std::string turn(const ChatMessage& message, std::string_view previous_role) const;
  // What opens the assistant's turn after a message; the answer follows.
  const std::string& assistant_begin() const { return assistant_begin_; }
  // White space between that and the answer, which a model says itself (Llama 2); it goes before an answer
  // whose beginning is given.
  const std::string& assistant_lead() const { return assistant_lead_; }
  // What follows the answer before the next turn. Where the model itself ended with an end-of-generation
  // token that is already in the cache, its spelling at the start of this text is not to be fed again.
  const std::string& assistant_end() const { return assistant_end_; }

 private:
  std::string closed(const std::vector<ChatMessage>& messages) const;
  void verify() const;

  const ChatTemplate& chat_;
  std::string trailer_;  // what ends a chat that asks for no answer, and goes when the chat goes on (Phi-3)
  std::string assistant_begin_;
  std::string assistant_lead_;
  std::string assistant_end_;
};

}  // namespace tenure
