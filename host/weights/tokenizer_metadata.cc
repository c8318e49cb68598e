#include "weights/tokenizer_metadata.h"

#include <fmt/format.h>

#include <algorithm>

#include "error/error.h"
#include "weights/gguf.h"
#include "weights/model_config.h"

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
  if (n_vocab > max_vocab) {
    file.fail(Code::tokenizer_malformed,
              fmt::format("{} tokens; at most {} are allowed", n_vocab, max_vocab));
  }
  metadata.tokens = owned(*tokens);
  metadata.token_types = read_token_types(file, n_vocab);
  metadata.merges =
      owned(file.find_strings("tokenizer.ggml.merges").value_or(std::vector<std::string_view>{}));
  metadata.bos_id = read_id(file, "tokenizer.ggml.bos_token_id", n_vocab);
  metadata.eos_id = read_id(file, "tokenizer.ggml.eos_token_id", n_vocab);
  metadata.eot_id = read_id(file, "tokenizer.ggml.eot_token_id", n_vocab);
  metadata.unknown_id = read_id(file, "tokenizer.ggml.unknown_token_id", n_vocab);
  metadata.add_bos = file.find_bool("tokenizer.ggml.add_bos_token").value_or(false);
  metadata.add_eos = file.find_bool("tokenizer.ggml.add_eos_token").value_or(false);
  metadata.add_space_prefix = file.find_bool("tokenizer.ggml.add_space_prefix").value_or(false);
  metadata.chat_template = file.find_string("tokenizer.chat_template").value_or("");
  return metadata;
}

}  // namespace tenure
