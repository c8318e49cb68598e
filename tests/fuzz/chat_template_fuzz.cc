// Any bytes are a template that renders within its bounds, or an Error that points into the source.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "error/error.h"
#include "tokenizer/chat_turns.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void check(const tenure::Error& error, std::string_view source) {
  const tenure::Diagnostic& found = error.diagnostics().front();
  require(found.code == tenure::Code::template_unsupported || found.code == tenure::Code::template_failed);
  require(!found.text.empty());
  require(found.where.line <= source.size() + 1 && found.where.column <= source.size() + 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  const std::vector<tenure::ChatMessage> messages = {
      {"system", " Be brief. "}, {"user", "Hi\n\xC3\xA9\xFF"}, {"assistant", "4"}, {"user", ""}};
  try {
    const tenure::ChatTemplate chat(source, "<s>", "</s>");
    try {
      require(chat.render(messages, tenure::ChatEnd::open_assistant).size() <= size_t{16} << 20);
    } catch (const tenure::Error& error) {
      check(error, source);
    }
    const tenure::ChatTurns turns(chat);
    turns.turn(messages[1], "assistant");
  } catch (const tenure::Error& error) {
    check(error, source);
  }
  return 0;
}
