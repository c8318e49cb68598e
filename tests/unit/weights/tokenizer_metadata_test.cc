// What a GGUF file says about a SentencePiece vocabulary, and what its format implies where it is silent.
#include <doctest/doctest.h>

#include <cmath>

#include "error/error.h"
#include "unit/weights/gguf_bytes.h"
#include "weights/gguf.h"
#include "weights/model_config.h"

namespace tenure::test {
namespace {

GgufBytes floats(const std::vector<float>& list) {
  GgufBytes value = GgufBytes().type(GgufType::array).type(GgufType::f32).u64(list.size());
  for (const float v : list) value.f32(v);
  return value;
}

LlamaBytes sentencepiece() {
  LlamaBytes llama;
  llama.set("tokenizer.ggml.model", LlamaBytes::text("llama"));
  llama.set("tokenizer.ggml.scores", floats({0, -1.5f, -INFINITY}));
  llama.set("tokenizer.ggml.bos_token_id", LlamaBytes::u32(1));
  return llama;
}

TokenizerMetadata metadata_of(const LlamaBytes& llama) {
  const GgufBytes bytes = llama.file();
  return read_tokenizer_metadata(GgufFile::parse(bytes.bytes(), "m.gguf"));
}

Error refusal(const LlamaBytes& llama) {
  try {
    metadata_of(llama);
  } catch (const Error& error) {
    return error;
  }
  FAIL("accepted");
  return Error(Code::internal, "");
}

GgufBytes boolean(bool value) {
  return GgufBytes().type(GgufType::boolean).u8(value ? 1 : 0);
}

}  // namespace

TEST_CASE(
    "tokenizer metadata - a SentencePiece vocabulary has scores, and BOS and a blank unless it says no") {
  const TokenizerMetadata silent = metadata_of(sentencepiece());
  CHECK(silent.scores == std::vector<float>{0, -1.5f, -INFINITY});
  CHECK(silent.add_bos);
  CHECK(silent.add_space_prefix);
  CHECK(silent.add_space_after_special);
  CHECK_FALSE(silent.ignore_merges);
  CHECK(silent.strips_white_space.empty());

  LlamaBytes gemma = sentencepiece();
  gemma.set("tokenizer.ggml.add_space_prefix", boolean(false));
  gemma.set("tokenizer.ggml.add_bos_token", boolean(false));
  gemma.set("tokenizer.ggml.add_sep_token", boolean(true));  // of no meaning here
  gemma.set("tokenizer.ggml.eom_token_id", LlamaBytes::u32(2));
  const TokenizerMetadata told = metadata_of(gemma);
  CHECK_FALSE(told.add_bos);
  CHECK_FALSE(told.add_space_prefix);
  CHECK_FALSE(told.add_space_after_special);
  CHECK(told.eom_id == 2);
}

TEST_CASE("tokenizer metadata - Llama 3's pre-tokenizer implies BOS and whole words, a plain one neither") {
  LlamaBytes llama;
  llama.set("tokenizer.ggml.pre", LlamaBytes::text("llama-bpe"));
  CHECK(metadata_of(llama).ignore_merges);
  CHECK_FALSE(metadata_of(llama).add_bos);  // there is none
  llama.set("tokenizer.ggml.bos_token_id", LlamaBytes::u32(1));
  CHECK(metadata_of(llama).add_bos);
  llama.set("tokenizer.ggml.pre", LlamaBytes::text("qwen2"));
  CHECK_FALSE(metadata_of(llama).add_bos);
  CHECK_FALSE(metadata_of(llama).ignore_merges);
  CHECK_FALSE(metadata_of(llama).add_space_prefix);
}

TEST_CASE("tokenizer metadata - EOS after every text is refused, as none is added") {
  LlamaBytes llama = sentencepiece();
  llama.set("tokenizer.ggml.add_eos_token", boolean(false));
  CHECK_NOTHROW(metadata_of(llama));
  llama.set("tokenizer.ggml.add_eos_token", boolean(true));
  const Error error = refusal(llama);
  CHECK(error.code() == Code::model_unsupported);
  CHECK(error.diagnostics().front().text.find("tokenizer.ggml.add_eos_token") != std::string::npos);
}

TEST_CASE("tokenizer metadata - scores that do not fit the vocabulary are refused") {
  const auto text_of = [](const GgufBytes& scores, Code code) {
    LlamaBytes llama = sentencepiece();
    llama.set("tokenizer.ggml.scores", scores);
    const Error error = refusal(llama);
    CHECK(error.code() == code);
    return error.diagnostics().front().text;
  };
  CHECK(text_of(floats({0, 1}), Code::tokenizer_malformed).find("2 entries for 3 tokens") !=
        std::string::npos);
  CHECK(text_of(floats({0, NAN, 1}), Code::tokenizer_malformed).find("no number at token 1") !=
        std::string::npos);
  CHECK(text_of(LlamaBytes::u32s({1, 2, 3}), Code::model_malformed).find("array of f32") !=
        std::string::npos);
  CHECK(text_of(LlamaBytes::f32(1), Code::model_malformed).find("array of f32") != std::string::npos);
}

}  // namespace tenure::test
