#include <doctest/doctest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "error/error.h"
#include "tokenizer/chat_turns.h"
#include "unit/tokenizer/chat_seeds.h"

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
      text += turns.assistant_begin() + turns.assistant_lead() + messages[i].content + turns.assistant_end();
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
  std::map<std::string, int> n_compared;
  std::map<std::string, int> n_refused;
  for (std::string line; std::getline(file, line);) {
    const auto golden = nlohmann::json::parse(line);
    if (!golden.contains("family") || golden.contains("error") || golden["messages"].size() < 2) continue;
    const std::string family = golden["family"];
    std::vector<ChatMessage> messages;
    for (const auto& message : golden["messages"]) messages.push_back({message["role"], message["content"]});
    // Llama 2, 3 and Gemma trim answers; one that is fed has been said already.
    if (messages[1].role == "assistant" && messages[1].content.ends_with(' ')) continue;
    std::string expected = golden["expected"];  // jinja2's, not our own rendering
    const ChatTemplate chat(chat_seed(family), "<s>", "</s>");
    CAPTURE(family);
    CAPTURE(line);
    try {
      const ChatTurns turns(chat);
      std::string text = fed_turn_by_turn(turns, messages);
      if (golden["add_generation_prompt"]) text += turns.assistant_begin();
      if (family == "phi_3" && !golden["add_generation_prompt"]) text += "</s>";  // when the chat is over
      CHECK(text == expected);
      ++n_compared[family];
    } catch (const Error& error) {
      CHECK((error.code() == Code::template_unsupported || error.code() == Code::template_failed));
      ++n_refused[family];
    }
  }
  for (const char* family :
       {"smollm", "chatml", "llama_3", "llama_3_1", "llama_3_2", "qwen_2", "qwen_2_5", "zephyr", "phi_3"}) {
    CAPTURE(family);
    CHECK(n_compared[family] >= 12);
    CHECK(n_refused[family] == 0);
  }
  // A system message moves into the user's turn; without one these go turn by turn.
  for (const char* family : {"llama_2", "gemma", "gemma_3", "mistral"}) {
    CAPTURE(family);
    CHECK(n_compared[family] >= 2);
  }
  // Thoughts are put before the last answer and taken out of earlier ones.
  CHECK(n_compared["qwen_3"] == 0);
  CHECK(n_refused["qwen_3"] > 0);
}

TEST_CASE("chat turns - Llama 2's answer brings its blank, Phi-3's chat closes only at its end") {
  const ChatTemplate llama_2(chat_seed("llama_2"), "<s>", "</s>");
  const ChatTurns turns(llama_2);
  CHECK(turns.assistant_begin().empty());
  CHECK(turns.assistant_lead() == " ");
  CHECK(turns.assistant_end() == " </s>");
  CHECK(turns.turn({"user", "Q"}, "assistant") == "<s>[INST] Q [/INST]");
  CHECK_THROWS_AS(turns.turn({"user", "Q"}, "system"), Error);

  const ChatTemplate phi_3(chat_seed("phi_3"), "<s>", "<|endoftext|>");
  const ChatTurns closing(phi_3);
  CHECK(closing.open({"user", "Q"}) == "<|user|>\nQ<|end|>\n");
  CHECK(closing.assistant_begin() == "<|assistant|>\n");
  CHECK(closing.assistant_lead().empty());
  CHECK(closing.assistant_end() == "<|end|>\n");
  CHECK(closing.turn({"user", "Q"}, "assistant") == "<|user|>\nQ<|end|>\n");
}

TEST_CASE("chat turns - Qwen 3's thoughts come and go, which is said") {
  const ChatTemplate qwen_3(chat_seed("qwen_3"), "", "<|im_end|>");
  try {
    ChatTurns turns(qwen_3);
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.code() == Code::template_unsupported);
    CHECK(error.diagnostics().front().text ==
          "the chat template cannot be fed turn by turn: more is put before an answer when it is repeated "
          "than when it "
          "is asked for; feed whole `messages` instead");
  }
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
  // says how many messages there are; closes the chat; keeps the last turn only; moves the system
  // message
  CHECK(code_of("{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}") ==
        Code::template_unsupported);
  CHECK(code_of("{% for m in messages %}{{ m.content }};{% endfor %}{% if not add_generation_prompt %}{{ "
                "'bye' }}{% endif %}") == Code::template_unsupported);
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
