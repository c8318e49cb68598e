#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "error/error.h"
#include "tokenizer/chat_turns.h"

using namespace tenure;

namespace {

const char* const smollm =
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ "
    "'<|im_start|>system\\nYou are a "
    "helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' "
    "+ "
    "message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if "
    "add_generation_prompt %}{{ "
    "'<|im_start|>assistant\\n' }}{% endif %}";
const char* const llama3 =
    "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = "
    "'<|start_header_id|>' + "
    "message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' %}{% if "
    "loop.index0 == 0 %}{% set "
    "content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ "
    "'<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}";
const char* const llama2 =
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = "
    "messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% "
    "endif %}"
    "{% for message in loop_messages %}{% if loop.index0 == 0 and system_message != false %}{% set content = "
    "system_message "
    "+ message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] "
    "== 'user' %}"
    "{{ '[INST]' + content + '[/INST]' }}{% else %}{{ content + eos_token }}{% endif %}{% endfor %}";

std::string fed_turn_by_turn(const ChatTurns& turns, const std::vector<ChatMessage>& messages) {
  std::string text = turns.open(messages.front());
  for (size_t i = 1; i < messages.size(); ++i) {
    if (messages[i].role == "assistant") {
      text += turns.assistant_begin() + messages[i].content + turns.assistant_end();
    } else {
      text += turns.turn(messages[i], messages[i - 1].role);
    }
  }
  return text;
}

}  // namespace

TEST_CASE("chat turns - fed one by one they are the whole conversation") {
  std::ifstream file("tests/data/chat_goldens.jsonl");
  REQUIRE(file);
  int n_compared = 0;
  for (std::string line; std::getline(file, line);) {
    const auto golden = nlohmann::json::parse(line);
    const std::string source = golden["template"];
    if (golden.contains("error") || golden["messages"].size() < 2) continue;
    if (source.find("<|im_start|>") == std::string::npos &&
        source.find("<|start_header_id|>") == std::string::npos)
      continue;
    std::vector<ChatMessage> messages;
    for (const auto& message : golden["messages"]) messages.push_back({message["role"], message["content"]});
    const ChatTemplate chat(source, "<s>", "</s>");
    const ChatTurns turns(chat);
    std::string text = fed_turn_by_turn(turns, messages);
    if (golden["add_generation_prompt"]) text += turns.assistant_begin();
    CAPTURE(source);
    CHECK(text == golden["expected"].get<std::string>());  // jinja2's, not our own rendering
    ++n_compared;
  }
  CHECK(n_compared >= 16);
}

TEST_CASE("chat turns - the template's additions come with the first turn only") {
  const ChatTemplate chat(smollm, "", "");
  const ChatTurns turns(chat);
  CHECK(turns.open({"user", "Q"}) ==
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nQ<|im_end|>\n");
  CHECK(turns.open({"system", "S"}) == "<|im_start|>system\nS<|im_end|>\n");
  CHECK(turns.turn({"user", "Q"}, "assistant") == "<|im_start|>user\nQ<|im_end|>\n");
  CHECK(turns.turn({"user", "Q"}, "user") == "<|im_start|>user\nQ<|im_end|>\n");
  CHECK(turns.turn({"system", "S"}, "assistant") == "<|im_start|>system\nS<|im_end|>\n");
  CHECK(turns.assistant_begin() == "<|im_start|>assistant\n");
  CHECK(turns.assistant_end() == "<|im_end|>\n");
  CHECK(turns.open_with_assistant() == "<|im_start|>assistant\n");

  const ChatTemplate with_bos(llama3, "<s>", "");
  const ChatTurns later(with_bos);
  CHECK(later.open({"user", " Q "}) == "<s><|start_header_id|>user<|end_header_id|>\n\nQ<|eot_id|>");
  CHECK(later.turn({"user", " Q "}, "assistant") ==
        "<|start_header_id|>user<|end_header_id|>\n\nQ<|eot_id|>");
}

TEST_CASE("chat turns - a template that rewrites earlier turns is refused") {
  const auto code_of = [](const char* source) {
    const ChatTemplate chat(source, "<s>", "</s>");
    try {
      ChatTurns turns(chat);
      turns.turn({"user", "Q"}, "system");
    } catch (const Error& error) {
      return error.code();
    }
    return Code::internal;
  };
  // says how many messages there are; closes the chat with eos; keeps the last turn only; moves the system
  // message
  CHECK(code_of("{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}") ==
        Code::template_unsupported);
  CHECK(code_of("{% for m in messages %}{{ m.content }};{% endfor %}{% if not add_generation_prompt %}{{ "
                "eos_token }}{% endif %}") == Code::template_unsupported);
  CHECK(code_of("{{ messages[-1].content }}") == Code::template_unsupported);
  CHECK(code_of("{% for m in messages %}{{ m.content if loop.last else 'earlier' }};{% endfor %}") ==
        Code::template_unsupported);
  CHECK(code_of(llama2) == Code::template_unsupported);
}

TEST_CASE("chat turns - roles the template does not take are an error of that turn") {
  const ChatTemplate chat(
      "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ "
      "raise_exception('alternate') }}{% endif %}"
      "{{ '<' + m.role + '>' + m.content + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ "
      "'<assistant>' }}{% endif %}",
      "", "");
  const ChatTurns turns(chat);
  CHECK(turns.turn({"user", "Q"}, "assistant") == "<user>Q\n");
  try {
    turns.turn({"user", "Q"}, "user");
    FAIL("two users in a row");
  } catch (const Error& error) {
    CHECK(error.code() == Code::template_failed);
  }
}
