// tokenizer.json and the files beside it → TokenizerMetadata.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "error/error.h"
#include "weights/tokenizer_json.h"

namespace tenure {
namespace {

using nlohmann::json;

constexpr const char* llama3_regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* qwen2_regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

json bytes_step(bool use_regex) {
  return {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}
json split_step(const char* regex) {
  return {{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}, {"invert", false}};
}
json sequence(std::vector<json> steps) {
  return {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
}
json added(int id, const char* content, bool special) {
  return {{"id", id}, {"content", content}, {"special", special}, {"lstrip", false}, {"rstrip", false}};
}

// Ids 0 to 4, of which 0 is special.
json byte_level() {
  return {{"version", "1.0"},
          {"added_tokens", {added(0, "<|end|>", true)}},
          {"normalizer", nullptr},
          {"pre_tokenizer", bytes_step(true)},
          {"post_processor", {{"type", "ByteLevel"}, {"trim_offsets", true}}},
          {"model",
           {{"type", "BPE"},
            {"vocab", {{"<|end|>", 0}, {"a", 1}, {"b", 2}, {"ab", 3}, {"abb", 4}}},
            {"merges", {"a b", "ab b"}}}}};
}

// As Llama 2's: <unk>, <s>, </s>, a byte, and a marked space.
json sentence_pieces() {
  return {
      {"added_tokens",
       {added(0, "<unk>", true), added(1, "<s>", true), added(2, "</s>", true), added(5, "<tool>", false)}},
      {"normalizer",
       {{"type", "Sequence"},
        {"normalizers",
         {{{"type", "Prepend"}, {"prepend", "▁"}},
          {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}}}}}},
      {"pre_tokenizer", nullptr},
      {"post_processor",
       {{"type", "TemplateProcessing"},
        {"single",
         {{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}},
          {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}}}},
      {"model",
       {{"type", "BPE"},
        {"byte_fallback", true},
        {"unk_token", "<unk>"},
        {"vocab", {{"<unk>", 0}, {"<s>", 1}, {"</s>", 2}, {"<0x0A>", 3}, {"▁", 4}, {"a", 6}, {"▁a", 7}}},
        {"merges", json::array({json::array({"▁", "a"})})}}}};
}

struct Files {
  json tokenizer;
  std::optional<json> tokenizer_config;
  std::optional<json> generation_config;
  json config = json::object();
  std::string chat_template;
  uint32_t n_vocab = 8;
};

TokenizerMetadata read(const Files& files) {
  const JsonFile tokenizer = JsonFile::parse(files.tokenizer.dump(), "tokenizer.json");
  const JsonFile config = JsonFile::parse(files.config.dump(), "config.json");
  std::optional<JsonFile> tokenizer_config, generation_config;
  if (files.tokenizer_config)
    tokenizer_config = JsonFile::parse(files.tokenizer_config->dump(), "tokenizer_config.json");
  if (files.generation_config)
    generation_config = JsonFile::parse(files.generation_config->dump(), "generation_config.json");
  return read_tokenizer_json({.tokenizer = &tokenizer,
                              .tokenizer_config = tokenizer_config ? &*tokenizer_config : nullptr,
                              .generation_config = generation_config ? &*generation_config : nullptr,
                              .config = &config,
                              .chat_template = files.chat_template},
                             files.n_vocab);
}

void expect_refused(const json& tokenizer, Code code, const std::string& says) {
  CAPTURE(tokenizer.dump());
  try {
    read({.tokenizer = tokenizer});
    FAIL_CHECK("accepted");
  } catch (const Error& error) {
    CHECK(error.code() == code);
    CHECK(error.diagnostics().front().where.file == "tokenizer.json");
    CHECK_MESSAGE(error.diagnostics().front().text.find(says) != std::string::npos,
                  error.diagnostics().front().text);
  }
}

TEST_CASE("tokenizer.json - byte-level BPE, padded to the embedding's rows") {
  const TokenizerMetadata metadata = read({.tokenizer = byte_level(), .n_vocab = 6});
  CHECK(metadata.model == "gpt2");
  CHECK(metadata.pre == "gpt-2");
  CHECK(metadata.tokens == std::vector<std::string>{"<|end|>", "a", "b", "ab", "abb", "[PAD 5]"});
  CHECK(metadata.token_types[0] == TokenType::control);
  CHECK(metadata.token_types[1] == TokenType::normal);
  CHECK(metadata.token_types[5] == TokenType::unused);
  CHECK(metadata.merges == std::vector<std::string>{"a b", "ab b"});
  CHECK_FALSE(metadata.add_bos);
  CHECK_FALSE(metadata.bos_id);
  json pairs = byte_level();
  pairs["model"]["merges"] = json::array({json::array({"a", "b"}), json::array({"ab", "b"})});
  CHECK(read({.tokenizer = pairs}).merges == metadata.merges);
}

TEST_CASE("tokenizer.json - pre-tokenizers are known by what they split at") {
  const auto pre_of = [](const json& pre_tokenizer) {
    json tokenizer = byte_level();
    tokenizer["pre_tokenizer"] = pre_tokenizer;
    return read({.tokenizer = tokenizer}).pre;
  };
  CHECK(pre_of(sequence({{{"type", "Digits"}, {"individual_digits", true}}, bytes_step(true)})) == "smollm");
  CHECK(pre_of(sequence({split_step(llama3_regex), bytes_step(false)})) == "llama-bpe");
  CHECK(pre_of(sequence({split_step(qwen2_regex), bytes_step(false)})) == "qwen2");
  json nfc = byte_level();
  nfc["model"]["ignore_merges"] = true;
  CHECK(read({.tokenizer = nfc}).ignore_merges);
  nfc["normalizer"] = {{"type", "NFC"}};
  CHECK(read({.tokenizer = nfc}).pre == "gpt-2");
}

TEST_CASE("tokenizer.json - SentencePiece's spelling, with byte tokens and marked spaces") {
  json pieces = sentence_pieces();
  pieces["added_tokens"][3]["rstrip"] = true;
  const TokenizerMetadata metadata = read({.tokenizer = pieces});
  CHECK(metadata.add_space_after_special);
  CHECK(metadata.strips_white_space == std::vector<uint32_t>{5});
  CHECK(metadata.model == "llama");
  CHECK(metadata.add_space_prefix);
  CHECK(metadata.merges == std::vector<std::string>{"▁ a"});
  using T = TokenType;
  CHECK(metadata.token_types == std::vector<T>{T::unknown, T::control, T::control, T::byte, T::normal,
                                               T::user_defined, T::normal, T::normal});
  CHECK(metadata.unknown_id == 0u);
  CHECK(metadata.bos_id == 1u);  // the post_processor's
  CHECK(metadata.add_bos);

  json letters = sentence_pieces();
  letters["model"]["vocab"]["<0xZZ>"] = 5;  // spelled almost like a byte
  letters["added_tokens"].erase(3);
  CHECK(read({.tokenizer = letters}).token_types[5] == T::normal);

  json gemma = sentence_pieces();
  gemma["normalizer"] = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}};
  gemma["pre_tokenizer"] = {{"type", "Split"},
                            {"pattern", {{"String", " "}}},
                            {"behavior", "MergedWithPrevious"},
                            {"invert", false}};
  gemma["added_tokens"].push_back(added(4, "▁", false));
  CHECK_FALSE(read({.tokenizer = gemma}).add_space_prefix);
  CHECK(read({.tokenizer = gemma}).token_types[4] == T::normal);  // a run of spaces is the merges' affair

  json metaspace = sentence_pieces();
  metaspace["normalizer"] = nullptr;
  metaspace["pre_tokenizer"] = {
      {"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "first"}, {"split", false}};
  CHECK(read({.tokenizer = metaspace}).add_space_prefix);
  CHECK_FALSE(read({.tokenizer = metaspace}).add_space_after_special);
  CHECK(read({.tokenizer = metaspace}).skips_present_blank);
  CHECK_FALSE(metadata.skips_present_blank);  // Prepend adds one in any case
  metaspace["pre_tokenizer"]["prepend_scheme"] = "never";
  CHECK_FALSE(read({.tokenizer = metaspace}).add_space_prefix);
}

TEST_CASE("tokenizer.json - ends of text and the template come from the files beside it") {
  Files files{.tokenizer = byte_level()};
  files.tokenizer_config = {
      {"bos_token", nullptr}, {"eos_token", {{"content", "<|end|>"}}}, {"chat_template", "inner"}};
  files.generation_config = json{{"eos_token_id", json::array({0, 4})}};
  files.config = {{"bos_token_id", 3}, {"eos_token_id", 2}};
  const TokenizerMetadata metadata = read(files);
  CHECK_FALSE(metadata.bos_id);  // null says: none
  CHECK(metadata.eos_id == 0u);
  CHECK(metadata.end_ids == std::vector<uint32_t>{0, 4});
  CHECK(metadata.chat_template == "inner");
  files.chat_template = "outer";
  CHECK(read(files).chat_template == "outer");
  files.chat_template.clear();
  files.tokenizer_config = {
      {"add_bos_token", true},
      {"bos_token", "a"},
      {"chat_template",
       {{{"name", "tool_use"}, {"template", "no"}}, {{"name", "default"}, {"template", "yes"}}}}};
  files.generation_config.reset();
  CHECK(read(files).chat_template == "yes");
  CHECK(read(files).add_bos);
  CHECK(read(files).end_ids == std::vector<uint32_t>{2});
  CHECK(read(files).eos_id == 2u);
  files.tokenizer_config.reset();
  CHECK(read(files).bos_id == 3u);
  files.generation_config = json{{"eos_token_id", json::array({0, 8})}};
  CHECK_THROWS_WITH_AS(read(files), doctest::Contains("ids below 8 are expected"), Error);
}

TEST_CASE("tokenizer.json - what contradicts itself is malformed") {
  const auto changed = [](auto change) {
    json tokenizer = byte_level();
    change(tokenizer);
    return tokenizer;
  };
  constexpr Code malformed = Code::tokenizer_malformed;
  expect_refused(changed([](json& t) { t["model"]["vocab"]["c"] = 8; }), malformed,
                 "the embedding has 8 rows");
  expect_refused(changed([](json& t) { t["model"]["vocab"]["c"] = 4; }), malformed, "both have the id 4");
  expect_refused(changed([](json& t) { t["model"]["vocab"] = json::object(); }), malformed, "is empty");
  expect_refused(changed([](json& t) { t["model"]["vocab"]["c"] = -1; }), Code::model_malformed,
                 "an integer of 0 or more");
  expect_refused(changed([](json& t) { t["model"]["vocab"]["c"] = 1e20; }), Code::model_malformed,
                 "an integer of 0 or more");
  expect_refused(changed([](json& t) { t["model"].erase("vocab"); }), Code::model_malformed, "model.vocab");
  expect_refused(changed([](json& t) { t["model"]["merges"][0] = 7; }), malformed, "merge 0");
  expect_refused(changed([](json& t) { t["model"]["merges"] = "a b"; }), malformed, "model.merges");
  expect_refused(changed([](json& t) { t["added_tokens"][0]["content"] = "x"; }), malformed,
                 "both have the id 0");
  expect_refused(changed([](json& t) { t["added_tokens"] = 1; }), malformed, "added_tokens");
  expect_refused(changed([](json& t) { t["added_tokens"][0] = 1; }), malformed, "added_tokens");
  expect_refused(changed([](json& t) { t["added_tokens"].push_back(added(6, "", false)); }), malformed,
                 "is empty");
  // No row of the embedding, no token: as Gemma 3's image token in the text-only model.
  json beyond = byte_level();
  beyond["added_tokens"].push_back(added(8, "<image>", true));
  CHECK(read({.tokenizer = beyond}).tokens.size() == 8);
}

TEST_CASE("tokenizer.json - another tokenizer is refused naming what was found") {
  const auto changed = [](json tokenizer, const char* pointer, json value) {
    tokenizer[json::json_pointer(pointer)] = std::move(value);
    return tokenizer;
  };
  constexpr Code unsupported = Code::model_unsupported;
  const json bytes = byte_level();
  expect_refused(changed(bytes, "/model/type", "Unigram"), unsupported, "Unigram");
  expect_refused(changed(bytes, "/model/dropout", 0.1), unsupported, "dropout");
  expect_refused(changed(bytes, "/model/end_of_word_suffix", "</w>"), unsupported, "end_of_word_suffix");
  expect_refused(changed(bytes, "/normalizer", {{"type", "NFKC"}}), unsupported, "NFKC");
  expect_refused(changed(bytes, "/pre_tokenizer", nullptr), unsupported, "without ByteLevel");
  expect_refused(changed(bytes, "/pre_tokenizer", {{"type", "Whitespace"}}), unsupported, "Whitespace");
  expect_refused(changed(bytes, "/pre_tokenizer/add_prefix_space", true), unsupported, "add_prefix_space");
  expect_refused(changed(bytes, "/pre_tokenizer", sequence({split_step("\\d+"), bytes_step(false)})),
                 unsupported, "\\d+");
  expect_refused(changed(bytes, "/post_processor", {{"type", "BertProcessing"}}), unsupported,
                 "BertProcessing");
  expect_refused(changed(bytes, "/model/merges/0", {"a b", "c"}), unsupported, "has a space");
  json strips = byte_level();
  strips["added_tokens"].push_back(added(6, "<x>", false));
  strips["added_tokens"][1]["lstrip"] = true;
  expect_refused(strips, unsupported, "lstrip");
  const json pieces = sentence_pieces();
  expect_refused(changed(pieces, "/normalizer", nullptr), unsupported, "without a sign for spaces");
  expect_refused(changed(pieces, "/normalizer", {{"type", "Precompiled"}}), unsupported, "Precompiled");
  expect_refused(changed(pieces, "/pre_tokenizer", {{"type", "Metaspace"}, {"replacement", "▁"}}),
                 unsupported, "Metaspace");
  expect_refused(changed(pieces, "/post_processor/single/0/SpecialToken/id", "<none>"), unsupported,
                 "<none>");
}

TEST_CASE("tokenizer.json - what is added to a text other than one BOS is refused") {
  const auto special = [](const char* token) {
    return json{{"SpecialToken", {{"id", token}, {"type_id", 0}}}};
  };
  const json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  const auto with_pieces = [](std::vector<json> single) {
    json tokenizer = sentence_pieces();
    tokenizer["post_processor"]["single"] = std::move(single);
    return tokenizer;
  };
  expect_refused(with_pieces({special("<s>"), text, special("</s>")}), Code::model_unsupported,
                 "adds \"</s>\" after a text");
  expect_refused(with_pieces({special("<s>"), special("<s>"), text}), Code::model_unsupported,
                 "adds \"<s>\" as a second token before a text");
  json twice = sentence_pieces();
  const json once = twice["post_processor"];
  twice["post_processor"] = {{"type", "Sequence"}, {"processors", {once, once}}};
  expect_refused(twice, Code::model_unsupported, "as a second token");
  for (const json& tokenizer : {byte_level(), sentence_pieces()}) {
    CHECK_THROWS_WITH_AS(read({.tokenizer = tokenizer, .tokenizer_config = json{{"add_eos_token", true}}}),
                         doctest::Contains("key \"add_eos_token\" is true"), Error);
    CHECK_NOTHROW(read({.tokenizer = tokenizer, .tokenizer_config = json{{"add_eos_token", false}}}));
  }
}

}  // namespace
}  // namespace tenure
