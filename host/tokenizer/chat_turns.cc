#include "tokenizer/chat_turns.h"

#include <fmt/format.h>

#include "error/error.h"
#include "tokenizer/jinja_text.h"

namespace tenure {
namespace {

// Stand-ins whose rendering is compared. Nothing in them is trimmed, split or taken for a tag by a template.
constexpr std::string_view question = "TENURE QUESTION";
constexpr std::string_view answer = "TENURE ANSWER";

ChatMessage user() {
  return {"user", std::string(question)};
}
ChatMessage assistant() {
  return {"assistant", std::string(answer)};
}

// A conversation that ends with a closed turn of `role`, in the order that strict templates ask for.
std::vector<ChatMessage> context_ending_with(std::string_view role) {
  if (role == "user") return {user()};
  if (role == "assistant") return {user(), assistant()};
  return {{std::string(role), std::string(question)}};
}

[[noreturn]] void refuse(std::string_view what) {
  throw Error(
      Code::template_unsupported,
      fmt::format("the chat template cannot be fed turn by turn: {}; feed whole `messages` instead", what));
}

std::string without_prefix(const std::string& whole, std::string_view prefix, std::string_view what) {
  if (!whole.starts_with(prefix)) refuse(what);
  return whole.substr(prefix.size());
}

}  // namespace

ChatTurns::ChatTurns(const ChatTemplate& chat) : chat_(chat) {
  const std::string asking = chat.render({user()}, ChatEnd::open_assistant);
  std::string asked = chat.render({user()}, ChatEnd::messages);
  if (!asking.starts_with(asked) && !chat.eos().empty() && asked.ends_with(chat.eos())) {
    trailer_ = chat.eos();
    asked = closed({user()});
  }
  assistant_begin_ =
      without_prefix(asking, asked, "opening the assistant's turn changes what comes before it");
  const std::string answered =
      without_prefix(closed({user(), assistant()}), asked, "an answer changes what comes before it");
  const std::string opened =
      without_prefix(answered, assistant_begin_, "an answer is rendered otherwise than it is asked for");
  assistant_lead_ = opened.substr(0, opened.size() - jinja::strip(opened, jinja::Side::left).size());
  assistant_end_ =
      without_prefix(opened.substr(assistant_lead_.size()), answer,
                     "more is put before an answer when it is repeated than when it is asked for");
  verify();
}

// A conversation that may go on.
std::string ChatTurns::closed(const std::vector<ChatMessage>& messages) const {
  std::string text = chat_.render(messages, ChatEnd::messages);
  if (!text.ends_with(trailer_)) refuse("it does not always end alike");
  text.resize(text.size() - trailer_.size());
  return text;
}

// Two rounds, fed turn by turn and rendered at once.
void ChatTurns::verify() const {
  std::vector<ChatMessage> all = {user()};
  std::string fed = open(all.front());
  for (int round = 0; round < 2; ++round) {
    fed += assistant_begin_ + assistant_lead_ + std::string(answer) + assistant_end_;
    all.push_back(assistant());
    if (closed(all) != fed) refuse("a longer conversation is rendered otherwise");
    all.push_back(user());
    fed += turn(all.back(), "assistant");
  }
}

std::string ChatTurns::open(const ChatMessage& first) const {
  return closed({first});
}

std::string ChatTurns::open_with_assistant() const {
  return chat_.render({}, ChatEnd::open_assistant);
}

std::string ChatTurns::turn(const ChatMessage& message, std::string_view previous_role) const {
  std::vector<ChatMessage> context = context_ending_with(previous_role);
  const std::string before = closed(context);
  context.push_back(message);
  const std::string text = without_prefix(
      closed(context), before,
      fmt::format("a turn of {} after {} changes what comes before it", message.role, previous_role));
  // Llama 2 moves the system message into the user's turn: its text would be the stand-in's.
  const auto has = [](std::string_view in, std::string_view part) {
    return in.find(part) != std::string_view::npos;
  };
  if ((has(text, question) && !has(message.content, question)) ||
      (has(text, answer) && !has(message.content, answer))) {
    refuse(fmt::format("a turn of {} after {} repeats earlier turns", message.role, previous_role));
  }
  return text;
}

}  // namespace tenure
