// Any text, in any mode, encodes; what comes back is the text with its ill-formed bytes replaced. The first
// byte picks the pre-tokenizer; the merges are those of repeated letters and of whatever pairs the text
// itself begins with.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/byte_alphabet.h"
#include "tokenizer/detokenizer.h"
#include "tokenizer/stop_strings.h"
#include "tokenizer/tokenizer.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

const tenure::Tokenizer& tokenizer(size_t choice) {
  const auto make = [](const char* pre) {
    tenure::TokenizerMetadata metadata;
    metadata.model = "gpt2";
    metadata.pre = pre;
    metadata.tokens = {"<|im_start|>", "<|im_end|>", "<tool>"};
    for (int byte = 0; byte < 256; ++byte)
      metadata.tokens.push_back(tenure::spell_byte(static_cast<uint8_t>(byte)));
    for (std::string part = "a"; part.size() < 64; part += part) {
      metadata.merges.push_back(part + " " + part);
      metadata.tokens.push_back(part + part);
    }
    metadata.token_types.assign(metadata.tokens.size(), tenure::TokenType::normal);
    metadata.token_types[0] = metadata.token_types[1] = tenure::TokenType::control;
    metadata.token_types[2] = tenure::TokenType::user_defined;
    return tenure::Tokenizer(metadata);
  };
  static const tenure::Tokenizer all[] = {make("smollm"), make("gpt-2"), make("default")};
  return all[choice % std::size(all)];
}

// Streamed in pieces of `step` bytes, with a stop string that the text may hold.
std::string streamed(std::string_view text, size_t step, const std::string& stop) {
  tenure::StopStrings stops({stop});
  tenure::Detokenizer detokenizer;
  std::string out;
  for (size_t at = 0; at < text.size(); at += step) {
    std::string shown;
    stops.push(text.substr(at, step), shown);
    detokenizer.push(shown, out);
  }
  std::string rest;
  stops.finish(rest);
  detokenizer.push(rest, out);
  detokenizer.finish(out);
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const tenure::Tokenizer& subject = tokenizer(data[0]);
  const std::string clean = tenure::replace_invalid_utf8(text);
  const auto plain = subject.encode(text, tenure::SpecialTokens::plain);
  require(subject.detokenize(plain) == clean);
  require(subject.detokenize(subject.encode(text, tenure::SpecialTokens::parse),
                             tenure::ControlTokens::shown) == clean);
  require(subject.encode(subject.guard(text), tenure::SpecialTokens::parse_unguarded) == plain);
  require(tenure::replace_invalid_utf8(clean) == clean);

  const std::string stop(text.substr(0, std::min<size_t>(3, text.size())));
  const size_t found = stop.empty() ? std::string_view::npos : text.find(stop);
  require(streamed(text, 1 + data[0] % 7, stop) == tenure::replace_invalid_utf8(text.substr(0, found)));
  return 0;
}
