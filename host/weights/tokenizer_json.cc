#include "weights/tokenizer_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "weights/gguf_value.h"
#include "weights/tokenizer_style.h"

namespace tenure {
namespace {

using nlohmann::json;

// "<0x0A>": how SentencePiece spells the token of a byte.
bool is_byte_token(std::string_view token) {
  const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); };
  return token.size() == 6 && token.starts_with("<0x") && is_digit(token[3]) && is_digit(token[4]) &&
         token.ends_with('>');
}

class TokenizerReader {
 public:
  TokenizerReader(const TokenizerFiles& files, uint32_t n_vocab)
      : files_(files),
        root_(files.tokenizer->root()),
        metadata_(read_tokenizer_style(root_)),
        taken_(n_vocab) {
    metadata_.tokens.resize(n_vocab);
    metadata_.token_types.assign(n_vocab, TokenType::unused);
  }

  TokenizerMetadata read() {
    const JsonObject model = root_.require_object("model");
    read_vocabulary(model.require_object("vocab"));
    read_merges(model);
    read_added_tokens();
    read_unknown(model);
    for (size_t id = 0; id < taken_.size(); ++id) {
      if (!taken_[id]) metadata_.tokens[id] = fmt::format("[PAD {}]", id);
    }
    read_ends_of_text();
    read_template();
    return std::move(metadata_);
  }

 private:
  [[noreturn]] void malformed(std::string text) const {
    root_.fail(Code::tokenizer_malformed, std::move(text));
  }

  bool is_byte_level() const { return metadata_.model == "gpt2"; }

  void read_vocabulary(const JsonObject& vocabulary) {
    if (vocabulary.value().empty()) malformed("key \"model.vocab\" is empty; the model has no vocabulary");
    for (const auto& [token, unused] : vocabulary.value().items()) {
      const uint64_t id = vocabulary.require_uint(token);
      if (id >= taken_.size()) {
        malformed(fmt::format("token \"{}\" has the id {}, but the embedding has {} rows", printable(token),
                              id, taken_.size()));
      }
      if (taken_[id]) {
        malformed(fmt::format("tokens \"{}\" and \"{}\" both have the id {}", printable(metadata_.tokens[id]),
                              printable(token), id));
      }
      const bool is_byte = !is_byte_level() && is_byte_token(token);
      set(id, token, is_byte ? TokenType::byte : TokenType::normal);
    }
  }

  void set(uint64_t id, std::string_view token, TokenType type) {
    taken_[id] = true;
    metadata_.tokens[id] = token;
    metadata_.token_types[id] = type;
  }

  // "left right", or since tokenizers 0.20 ["left", "right"].
  void read_merges(const JsonObject& model) {
    const json* merges = model.find("merges");
    if (!merges || !merges->is_array()) malformed("key \"model.merges\" is no array");
    metadata_.merges.reserve(merges->size());
    for (const json& merge : *merges) {
      const bool is_pair =
          merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string();
      if (!is_pair && !merge.is_string())
        malformed(fmt::format("merge {} is no pair of strings", metadata_.merges.size()));
      if (!is_pair) {
        metadata_.merges.push_back(merge.get<std::string>());
        continue;
      }
      const auto& left = merge[0].get_ref<const std::string&>();
      const auto& right = merge[1].get_ref<const std::string&>();
      if (left.find(' ') != std::string::npos || right.find(' ') != std::string::npos) {
        root_.fail(
            Code::model_unsupported,
            fmt::format("merge {} has a space in \"{}\" or \"{}\"; supported are vocabularies that spell it",
                        metadata_.merges.size(), printable(left), printable(right)));
      }
      metadata_.merges.push_back(left + " " + right);
    }
  }

  void read_added_tokens() {
    const json* added = root_.find("added_tokens");
    if (!added) return;
    if (!added->is_array()) malformed("key \"added_tokens\" is no array");
    for (const json& value : *added) {
      if (!value.is_object()) malformed("key \"added_tokens\" holds what is no object");
      read_added_token(JsonObject(value, root_.file(), "added_tokens"));
    }
  }

  void read_added_token(const JsonObject& token) {
    const uint64_t id = token.require_uint("id");
    const std::string_view content = token.require_string("content");
    if (id >= taken_.size()) return;  // there is no embedding for it
    if (content.empty()) malformed(fmt::format("added token {} is empty", id));
    if (taken_[id] && metadata_.tokens[id] != content) {
      malformed(fmt::format("tokens \"{}\" and \"{}\" both have the id {}", printable(metadata_.tokens[id]),
                            printable(content), id));
    }
    const bool is_special = token.find_bool("special").value_or(false);
    for (const char* key : {"lstrip", "single_word"}) {
      if (!is_special && token.find_bool(key).value_or(false))
        root_.fail(
            Code::model_unsupported,
            fmt::format("added token \"{}\" has {} = true; supported is false", printable(content), key));
    }
    if (token.find_bool("rstrip").value_or(false))
      metadata_.strips_white_space.push_back(static_cast<uint32_t>(id));
    // Gemma lists its runs of spaces; the merges build them, and bytes() must give them back as spaces.
    const bool is_blank = content.find("\u2581") != std::string_view::npos && taken_[id] && !is_byte_level();
    if (!is_special && is_blank) return;
    set(id, content, is_special ? TokenType::control : TokenType::user_defined);
  }

  void read_unknown(const JsonObject& model) {
    const auto unknown = model.find_string("unk_token");
    if (!unknown) return;
    metadata_.unknown_id = find_id(*unknown);
    if (metadata_.unknown_id && !is_byte_level())
      metadata_.token_types[*metadata_.unknown_id] = TokenType::unknown;
  }

  std::optional<uint32_t> find_id(std::string_view token) const {
    for (size_t id = 0; id < taken_.size(); ++id) {
      if (taken_[id] && metadata_.tokens[id] == token) return static_cast<uint32_t>(id);
    }
    return std::nullopt;
  }

  // A token of tokenizer_config.json: its text, or an object around it. Nothing when absent or null.
  std::optional<uint32_t> stated_id(std::string_view key) const {
    if (!files_.tokenizer_config) return std::nullopt;
    const JsonObject settings = files_.tokenizer_config->root();
    const json* value = settings.find(key);
    if (!value) return std::nullopt;
    const std::string_view token = value->is_object() ? settings.require_object(key).require_string("content")
                                                      : settings.require_string(key);
    const auto id = find_id(token);
    if (!id) {
      settings.fail(Code::tokenizer_malformed, fmt::format("{} is \"{}\", which is not in the vocabulary",
                                                           settings.name_of(key), printable(token)));
    }
    return id;
  }

  // One id or a list of them.
  std::vector<uint32_t> stated_ids(const JsonFile* file, std::string_view key) const {
    std::vector<uint32_t> ids;
    if (!file) return ids;
    const JsonObject object = file->root();
    const json* value = object.find(key);
    if (!value) return ids;
    const json list = value->is_array() ? *value : json::array({*value});
    for (const json& id : list) {
      if (!id.is_number_unsigned() || id.get<uint64_t>() >= taken_.size()) {
        object.fail(Code::tokenizer_malformed,
                    fmt::format("{} holds {}; ids below {} are expected", object.name_of(key),
                                printable(id.dump().substr(0, 40)), taken_.size()));
      }
      ids.push_back(id.get<uint32_t>());
    }
    return ids;
  }

  // BOS, EOS and whether a text gets BOS: the post_processor says so, else tokenizer_config.json.
  void read_ends_of_text() {
    metadata_.bos_id = stated_id("bos_token");
    metadata_.eos_id = stated_id("eos_token");
    metadata_.end_ids = stated_ids(files_.generation_config, "eos_token_id");
    const std::vector<uint32_t> configured = stated_ids(files_.config, "eos_token_id");
    if (metadata_.end_ids.empty()) metadata_.end_ids = configured;
    if (!files_.tokenizer_config) {
      const std::vector<uint32_t> bos = stated_ids(files_.config, "bos_token_id");
      if (!bos.empty()) metadata_.bos_id = bos.front();
    }
    if (!metadata_.eos_id && !metadata_.end_ids.empty()) metadata_.eos_id = metadata_.end_ids.front();
    const bool has_template = read_post_processor();
    if (!files_.tokenizer_config) return;
    const JsonObject settings = files_.tokenizer_config->root();
    // transformers puts it above what the post_processor says.
    if (settings.find_bool("add_eos_token").value_or(false))
      settings.fail(Code::model_unsupported, "key \"add_eos_token\" is true; supported is false");
    if (!has_template)
      metadata_.add_bos = metadata_.bos_id && settings.find_bool("add_bos_token").value_or(false);
  }

  // Whether it has a template.
  bool read_post_processor() {
    const auto processor = root_.find_object("post_processor");
    if (!processor) return false;
    const json* list = processor->find("processors");
    if (!list || !list->is_array()) return read_processor(*processor);
    bool found = false;
    for (const json& member : *list) {
      if (!member.is_object()) malformed("key \"post_processor.processors\" holds what is no object");
      found |= read_processor(JsonObject(member, root_.file(), "post_processor.processors"));
    }
    return found;
  }

  bool read_processor(const JsonObject& processor) {
    const std::string_view type = processor.require_string("type");
    if (type == "ByteLevel") return false;  // trims offsets, which nobody asks for here
    const json* pieces = processor.find("single");
    if (type != "TemplateProcessing" || !pieces || !pieces->is_array()) {
      root_.fail(
          Code::model_unsupported,
          fmt::format("tokenizer: post_processor is {}; supported are ByteLevel and TemplateProcessing",
                      printable(type)));
    }
    bool is_before_text = true;
    for (const json& piece : *pieces) {
      const json::const_iterator special = piece.is_object() ? piece.find("SpecialToken") : piece.end();
      if (!piece.is_object() || special == piece.end()) {
        is_before_text = false;
        continue;
      }
      const auto token = JsonObject(*special, root_.file(), "post_processor.single").find_string("id");
      add_to_text(token.value_or(""), is_before_text);
    }
    return true;
  }

  void add_to_text(std::string_view token, bool is_before_text) {
    const auto unsupported = [&](std::string_view added) {
      root_.fail(Code::model_unsupported,
                 fmt::format("tokenizer: post_processor adds \"{}\" {} a text; supported is one BOS token before it",
                             printable(token), added));
    };
    if (!is_before_text) unsupported("after");
    if (metadata_.add_bos) unsupported("as a second token before");
    const auto id = find_id(token);
    if (!metadata_.bos_id) metadata_.bos_id = id;
    if (!id || *metadata_.bos_id != *id) unsupported("before");
    metadata_.add_bos = true;
  }

  // A file of its own, or in tokenizer_config.json: a text, or a list of named ones.
  void read_template() {
    metadata_.chat_template = files_.chat_template;
    if (!metadata_.chat_template.empty() || !files_.tokenizer_config) return;
    const JsonObject settings = files_.tokenizer_config->root();
    const json* value = settings.find("chat_template");
    if (!value) return;
    if (!value->is_array()) {
      metadata_.chat_template = settings.require_string("chat_template");
      return;
    }
    for (const json& member : *value) {
      if (!member.is_object()) continue;
      const JsonObject named(member, settings.file(), "chat_template");
      if (named.find_string("name").value_or("") == "default")
        metadata_.chat_template = named.require_string("template");
    }
  }

  const TokenizerFiles& files_;
  JsonObject root_;
  TokenizerMetadata metadata_;
  std::vector<bool> taken_;  // (n_vocab): some token has the id
};

}  // namespace

TokenizerMetadata read_tokenizer_json(const TokenizerFiles& files, uint32_t n_vocab) {
  return TokenizerReader(files, n_vocab).read();
}

}  // namespace tenure
