#include "weights/tokenizer_metadata.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "error/error.h"
#include "weights/gguf.h"
#include "weights/model_config.h"
#include "weights/model_limits.h"

namespace tenure {
namespace {

std::vector<std::string> owned(const std::vector<std::string_view>& views) {
  return {views.begin(), views.end()};
}

std::vector<TokenType> read_token_types(const GgufFile& file, size_t n_vocab) {
  constexpr std::string_view key = "tokenizer.ggml.token_type";
  const auto numbers = file.find_uints(key);
  if (!numbers) return std::vector<TokenType>(n_vocab, TokenType::normal);
  if (numbers->size() != n_vocab) {
    file.fail(Code::tokenizer_malformed,
              fmt::format("key \"{}\" has {} entries for {} tokens", key, numbers->size(), n_vocab));
  }
  std::vector<TokenType> types;
  types.reserve(n_vocab);
  for (const uint64_t number : *numbers) {
    if (number < 1 || number > 6) {
      file.fail(Code::tokenizer_malformed,
                fmt::format("key \"{}\" has the type {} at token {}; 1 to 6 are allowed", key, number,
                            types.size()));
    }
    types.push_back(static_cast<TokenType>(number));
  }
  return types;
}

std::vector<float> read_scores(const GgufFile& file, size_t n_vocab) {
  constexpr std::string_view key = "tokenizer.ggml.scores";
  const GgufValue* value = file.find_value(key);
  if (!value) return {};
  if (value->type != GgufType::array || value->element_type != GgufType::f32) {
    file.fail(Code::model_malformed, fmt::format("key \"{}\": an array of f32 is expected", key));
  }
  if (value->count != n_vocab) {
    file.fail(Code::tokenizer_malformed,
              fmt::format("key \"{}\" has {} entries for {} tokens", key, value->count, n_vocab));
  }
  std::vector<float> scores(n_vocab);
  for (size_t id = 0; id < n_vocab; ++id) {
    scores[id] = load<float>(value->payload, id * sizeof(float));
    if (std::isnan(scores[id])) {
      file.fail(Code::tokenizer_malformed, fmt::format("key \"{}\" has no number at token {}", key, id));
    }
  }
  return scores;
}

// Names of pre-tokenizers whose files leave out that they start with BOS and take whole words first.
bool implies_whole_words(std::string_view pre) {
  constexpr std::array<std::string_view, 9> names = {
      "llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "tekken"};
  return std::find(names.begin(), names.end(), pre) != names.end();
}

// Phi-3's vocabulary drops the line end that its template writes after a marker, but GGUF has no key for it.
std::vector<uint32_t> stripping_tokens(const GgufFile& file, const TokenizerMetadata& metadata) {
  if (metadata.model != "llama" || file.find_string("general.architecture") != "phi3") return {};
  std::vector<uint32_t> ids;
  for (uint32_t id = 0; id < metadata.tokens.size(); ++id) {
    const TokenType type = metadata.token_types[id];
    const std::string& text = metadata.tokens[id];
    const bool is_special = type == TokenType::control || type == TokenType::user_defined;
    if (is_special && text != "<unk>" && text != "<s>" && text != "<|endoftext|>") ids.push_back(id);
  }
  return ids;
}

std::optional<uint32_t> read_id(const GgufFile& file, std::string_view key, size_t n_vocab) {
  const auto id = file.find_uint(key);
  if (!id) return std::nullopt;
  if (*id >= n_vocab) {
    file.fail(Code::tokenizer_malformed,
              fmt::format("key \"{}\" is {}, but there are {} tokens", key, *id, n_vocab));
  }
  return static_cast<uint32_t>(*id);
}

}  // namespace

TokenizerMetadata read_tokenizer_metadata(const GgufFile& file) {
  TokenizerMetadata metadata;
  metadata.model = file.require_string("tokenizer.ggml.model");
  metadata.pre = file.find_string("tokenizer.ggml.pre").value_or("");
  const auto tokens = file.find_strings("tokenizer.ggml.tokens");
  if (!tokens || tokens->empty()) {
    file.fail(Code::tokenizer_malformed,
              "key \"tokenizer.ggml.tokens\" is absent or empty; the model has no vocabulary");
  }
  const size_t n_vocab = tokens->size();
  if (n_vocab > model_limits::n_vocab.most) {
    file.fail(Code::tokenizer_malformed,
              fmt::format("{} tokens; at most {} are allowed", n_vocab, model_limits::n_vocab.most));
  }
  metadata.tokens = owned(*tokens);
  metadata.token_types = read_token_types(file, n_vocab);
  metadata.merges =
      owned(file.find_strings("tokenizer.ggml.merges").value_or(std::vector<std::string_view>{}));
  metadata.scores = read_scores(file, n_vocab);
  metadata.bos_id = read_id(file, "tokenizer.ggml.bos_token_id", n_vocab);
  metadata.eos_id = read_id(file, "tokenizer.ggml.eos_token_id", n_vocab);
  metadata.eot_id = read_id(file, "tokenizer.ggml.eot_token_id", n_vocab);
  metadata.eom_id = read_id(file, "tokenizer.ggml.eom_token_id", n_vocab);
  metadata.unknown_id = read_id(file, "tokenizer.ggml.unknown_token_id", n_vocab);
  const bool is_sentencepiece = metadata.model == "llama";
  metadata.ignore_merges = metadata.model == "gpt2" && implies_whole_words(metadata.pre);
  metadata.add_bos = file.find_bool("tokenizer.ggml.add_bos_token")
                         .value_or(metadata.bos_id && (is_sentencepiece || metadata.ignore_merges));
  if (file.find_bool("tokenizer.ggml.add_eos_token").value_or(false)) {
    file.fail(Code::model_unsupported, "key \"tokenizer.ggml.add_eos_token\" is true; supported is false");
  }
  metadata.add_space_prefix = file.find_bool("tokenizer.ggml.add_space_prefix").value_or(is_sentencepiece);
  // What the format's reference implementation does; Llama 2 was trained with "<s> [INST]".
  metadata.add_space_after_special = is_sentencepiece && metadata.add_space_prefix;
  metadata.strips_white_space = stripping_tokens(file, metadata);
  metadata.chat_template = file.find_string("tokenizer.chat_template").value_or("");
  return metadata;
}

}  // namespace tenure
