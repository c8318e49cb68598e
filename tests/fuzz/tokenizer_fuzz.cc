// Any text, in any mode, encodes; what comes back is the text with its ill-formed bytes replaced. The first
// byte picks the vocabulary: byte-level with one of the pre-tokenizers, or SentencePiece's by scores or
// merges.
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

void add_doubled(tenure::TokenizerMetadata& metadata) {
  for (std::string part = "a"; part.size() < 64; part += part) {
    metadata.merges.push_back(part + " " + part);
    metadata.tokens.push_back(part + part);
  }
}

void set_types(tenure::TokenizerMetadata& metadata) {
  metadata.tokens.insert(metadata.tokens.begin(), {"<|im_start|>", "<|im_end|>", "<tool>"});
  metadata.token_types.assign(metadata.tokens.size(), tenure::TokenType::normal);
  metadata.token_types[0] = metadata.token_types[1] = tenure::TokenType::control;
  metadata.token_types[2] = tenure::TokenType::user_defined;
}

tenure::Tokenizer byte_level(const char* pre) {
  tenure::TokenizerMetadata metadata;
  metadata.model = "gpt2";
  metadata.pre = pre;
  metadata.ignore_merges = metadata.pre == "llama-bpe";
  for (int byte = 0; byte < 256; ++byte)
    metadata.tokens.push_back(tenure::spell_byte(static_cast<uint8_t>(byte)));
  add_doubled(metadata);
  set_types(metadata);
  return tenure::Tokenizer(metadata);
}

tenure::Tokenizer sentencepiece(bool by_score, bool with_prefix) {
  tenure::TokenizerMetadata metadata;
  metadata.model = "llama";
  metadata.tokens = {"a", "\u2581", "\u2581a", "e\u0301", "\u4e16", "\u4e16\u754c", "<|", "|>"};
  for (int byte = 0; byte < 256; ++byte) {
    constexpr char digits[] = "0123456789ABCDEF";
    metadata.tokens.push_back(std::string("<0x") + digits[byte / 16] + digits[byte % 16] + ">");
  }
  add_doubled(metadata);
  set_types(metadata);
  metadata.token_types[8] = tenure::TokenType::unused;  // of two characters, one of which is none
  if (by_score) {
    metadata.merges.clear();
    for (size_t id = 0; id < metadata.tokens.size(); ++id)
      metadata.scores.push_back(-static_cast<float>(id / 2));
  }
  metadata.add_space_prefix = with_prefix;
  return tenure::Tokenizer(metadata);
}

constexpr size_t first_sentencepiece = 8;
constexpr size_t n_tokenizers = 12;

const tenure::Tokenizer& tokenizer(size_t choice) {
  static const tenure::Tokenizer all[n_tokenizers] = {
      byte_level("smollm"),      byte_level("gpt-2"),         byte_level("default"),
      byte_level("llama-bpe"),   byte_level("qwen2"),         byte_level("tekken"),
      byte_level("gpt-4o"),      byte_level("deepseek-v3"),   sentencepiece(true, false),
      sentencepiece(true, true), sentencepiece(false, false), sentencepiece(false, true)};
  return all[choice % n_tokenizers];
}

// SentencePiece cannot tell a ▁ of the text from a blank.
std::string with_blanks(std::string text) {
  const std::string mark = "\u2581";
  for (size_t at = 0; (at = text.find(mark, at)) != std::string::npos;) text.replace(at, mark.size(), " ");
  return text;
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
  const std::string kept = data[0] % n_tokenizers < first_sentencepiece ? clean : with_blanks(clean);
  const auto plain = subject.encode(text, tenure::SpecialTokens::plain);
  require(subject.detokenize(plain) == kept);
  require(subject.detokenize(subject.encode(text, tenure::SpecialTokens::parse),
                             tenure::ControlTokens::shown) == kept);
  require(subject.encode(subject.guard(text), tenure::SpecialTokens::parse_unguarded) == plain);
  require(tenure::replace_invalid_utf8(clean) == clean);
  require(subject.encode(text, tenure::SpecialTokens::plain, tenure::TextStart::continuation).size() <=
          clean.size());

  const std::string stop(text.substr(0, std::min<size_t>(3, text.size())));
  const size_t found = stop.empty() ? std::string_view::npos : text.find(stop);
  require(streamed(text, 1 + data[0] % 7, stop) == tenure::replace_invalid_utf8(text.substr(0, found)));
  return 0;
}
