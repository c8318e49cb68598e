#include "tokenizer/chat_template.h"

#include <utility>

#include "tokenizer/jinja_evaluator.h"
#include "tokenizer/jinja_parser.h"

namespace tenure {

struct ChatTemplate::Parsed {
  std::string source;
  std::vector<jinja::Statement> statements;
};

ChatTemplate::ChatTemplate(std::string_view source, std::string bos, std::string eos)
    : bos_(std::move(bos)), eos_(std::move(eos)) {
  Parsed parsed{.source = jinja::normalise_source(source)};
  parsed.statements = jinja::parse(parsed.source);
  parsed_ = std::make_unique<const Parsed>(std::move(parsed));
}

ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

std::string ChatTemplate::render(const std::vector<ChatMessage>& messages, ChatEnd end) const {
  jinja::Items list;
  list.reserve(messages.size());
  for (const ChatMessage& message : messages) {
    list.push_back(jinja::make_dict({{"role", {message.role}}, {"content", {message.content}}}));
  }
  const jinja::Fields globals = {{"messages", jinja::make_list(std::move(list))},
                                 {"add_generation_prompt", {end == ChatEnd::open_assistant}},
                                 {"bos_token", {bos_}},
                                 {"eos_token", {eos_}},
                                 {"tools", {jinja::None{}}},
                                 {"documents", {jinja::None{}}}};
  return jinja::evaluate(parsed_->statements, globals, parsed_->source);
}

}  // namespace tenure
