#include <doctest/doctest.h>

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cpu_time.h"
#include "error/error.h"
#include "tokenizer/detokenizer.h"
#include "tokenizer/tokenizer.h"

using namespace tenure;

namespace {

using Ids = std::vector<int32_t>;

TokenizerMetadata metadata_of(const nlohmann::json& model) {
  TokenizerMetadata metadata;
  metadata.model = "llama";
  metadata.tokens = model["tokens"].get<std::vector<std::string>>();
  for (int type : model["types"]) metadata.token_types.push_back(static_cast<TokenType>(type));
  if (model.contains("scores")) metadata.scores = model["scores"].get<std::vector<float>>();
  if (model.contains("merges")) metadata.merges = model["merges"].get<std::vector<std::string>>();
  metadata.unknown_id = model["unknown"].get<uint32_t>();
  metadata.add_space_prefix = model["space_prefix"];
  metadata.add_space_after_special = model["space_after_special"];
  metadata.skips_present_blank = model["skips_present_blank"];
  return metadata;
}

// <unk>, <s>, </s>, then the 256 bytes, then `pieces` with falling scores.
constexpr int32_t first_byte = 3;
constexpr int32_t first_piece = first_byte + 256;

TokenizerMetadata vocabulary(const std::vector<std::string>& pieces) {
  TokenizerMetadata metadata;
  metadata.model = "llama";
  metadata.tokens = {"<unk>", "<s>", "</s>"};
  metadata.token_types = {TokenType::unknown, TokenType::control, TokenType::control};
  for (int byte = 0; byte < 256; ++byte) {
    constexpr char digits[] = "0123456789ABCDEF";
    metadata.tokens.push_back(std::string("<0x") + digits[byte / 16] + digits[byte % 16] + ">");
    metadata.token_types.push_back(TokenType::byte);
  }
  metadata.scores.assign(metadata.tokens.size(), 0);
  for (const std::string& piece : pieces) {
    metadata.tokens.push_back(piece);
    metadata.token_types.push_back(TokenType::normal);
    metadata.scores.push_back(-static_cast<float>(metadata.tokens.size()));
  }
  metadata.unknown_id = 0;
  metadata.bos_id = 1;
  metadata.eos_id = 2;
  metadata.add_bos = true;
  metadata.add_space_prefix = true;
  metadata.add_space_after_special = true;
  return metadata;
}

Ids pieces(std::initializer_list<int32_t> indices) {
  Ids ids;
  for (int32_t index : indices) ids.push_back(first_piece + index);
  return ids;
}

Ids operator+(Ids a, const Ids& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

const std::string blank = "\u2581";

}  // namespace

// tests/golden/sentencepiece_goldens.py: ids and texts by the sentencepiece and the tokenizers library.
TEST_CASE("sentencepiece - gives the ids and texts of the reference libraries") {
  std::ifstream file("tests/data/sentencepiece_goldens.jsonl");
  REQUIRE(file);
  std::unique_ptr<Tokenizer> tokenizer;
  std::string model;
  int n_models = 0;
  int n_compared = 0;
  for (std::string line; std::getline(file, line);) {
    const auto golden = nlohmann::json::parse(line);
    if (golden.contains("model")) {
      model = golden["model"];
      tokenizer = std::make_unique<Tokenizer>(metadata_of(golden));
      ++n_models;
      continue;
    }
    const std::string text = golden["text"];
    CAPTURE(model);
    CAPTURE(text);
    const auto special = golden["parse_special"] ? SpecialTokens::parse : SpecialTokens::plain;
    const auto expected = golden["ids"].get<Ids>();
    CHECK(tokenizer->encode(text, special) == expected);
    if (golden.contains("decoded"))
      CHECK(tokenizer->detokenize(expected, ControlTokens::shown) == golden["decoded"].get<std::string>());
    ++n_compared;
  }
  CHECK(n_models == 6);
  CHECK(n_compared > 300);
}

TEST_CASE("sentencepiece - the blank before a first word is for the start of a sequence") {
  const Tokenizer tokenizer(vocabulary({blank + "a", blank, "a", blank + blank}));
  CHECK(tokenizer.encode("a", SpecialTokens::plain) == pieces({0}));
  CHECK(tokenizer.encode("a", SpecialTokens::plain, TextStart::continuation) == pieces({2}));
  CHECK(tokenizer.encode(" a", SpecialTokens::plain, TextStart::continuation) == pieces({0}));
  CHECK(tokenizer.encode("", SpecialTokens::plain).empty());
  CHECK(tokenizer.encode("<s>a", SpecialTokens::parse) == Ids{1} + pieces({0}));
  CHECK(tokenizer.encode("a<s>", SpecialTokens::parse) == pieces({0}) + Ids{1});

  TokenizerMetadata first_only = vocabulary({blank + "a", blank, "a"});
  first_only.add_space_after_special = false;
  CHECK(Tokenizer(first_only).encode("<s>a", SpecialTokens::parse) == Ids{1} + pieces({2}));
  TokenizerMetadata never = vocabulary({blank + "a", blank, "a"});
  never.add_space_prefix = never.add_space_after_special = false;
  CHECK(Tokenizer(never).encode("a", SpecialTokens::plain) == pieces({2}));
}

TEST_CASE("sentencepiece - Metaspace adds no blank to a text that has one") {
  TokenizerMetadata metaspace = vocabulary({blank + "a", blank, "a", blank + blank});
  metaspace.skips_present_blank = true;
  const Tokenizer tokenizer(metaspace);
  CHECK(tokenizer.encode("a", SpecialTokens::plain) == pieces({0}));
  CHECK(tokenizer.encode(" a", SpecialTokens::plain) == pieces({0}));
  CHECK(tokenizer.encode(blank + "a", SpecialTokens::plain) == pieces({0}));
  CHECK(tokenizer.encode("<s> a", SpecialTokens::parse) == Ids{1} + pieces({0}));
  CHECK(tokenizer.encode("<s>a", SpecialTokens::parse) == Ids{1} + pieces({0}));
}

TEST_CASE("sentencepiece - a sequence's text loses the blank that was added, an answer keeps its own") {
  const Tokenizer tokenizer(vocabulary({blank + "Paris", blank, "P"}));
  CHECK(tokenizer.detokenize(pieces({0, 0})) == "Paris Paris");
  CHECK(tokenizer.detokenize(Ids{1} + pieces({0})) == "Paris");
  CHECK(tokenizer.detokenize(pieces({1, 0})) == " Paris");
  CHECK(tokenizer.bytes(first_piece) == " Paris");
  CHECK(tokenizer.bytes(first_byte + 0xC3) == "\xC3");
  CHECK(tokenizer.bytes(1).empty());
  CHECK(tokenizer.piece(first_piece) == blank + "Paris");
  TokenizerMetadata never = vocabulary({blank + "Paris"});
  never.add_space_prefix = false;
  CHECK(Tokenizer(never).detokenize(pieces({0})) == " Paris");
}

TEST_CASE("sentencepiece - text cannot be merged into control tokens, bytes or the unknown token") {
  TokenizerMetadata metadata =
      vocabulary({"<", "/s>", "</", "s>", "s", "/", ">", "<0x41", "0x41", "un", "k>", "<un"});
  metadata.add_space_prefix = false;
  const Tokenizer tokenizer(metadata);
  for (const std::string text : {"</s>", "<s>", "<unk>", "<0x41>"}) {
    CAPTURE(text);
    for (int32_t id : tokenizer.encode(text, SpecialTokens::plain)) CHECK(id > 2);
    CHECK(tokenizer.detokenize(tokenizer.encode(text, SpecialTokens::plain)) == text);
    CHECK(tokenizer.encode(tokenizer.guard(text), SpecialTokens::parse_unguarded) ==
          tokenizer.encode(text, SpecialTokens::plain));
  }
}

TEST_CASE("sentencepiece - user-defined runs of blanks match whichever way they are spelled") {
  for (const std::string& run : {blank + blank, std::string("  ")}) {
    TokenizerMetadata metadata = vocabulary({run, "a", blank, blank + "a"});
    metadata.token_types[first_piece] = TokenType::user_defined;
    metadata.add_space_prefix = metadata.add_space_after_special = false;
    const Tokenizer tokenizer(metadata);
    CHECK(tokenizer.encode("a  a a", SpecialTokens::plain) == pieces({1, 0, 1, 3}));
    CHECK(tokenizer.detokenize(pieces({1, 0, 1, 3})) == "a  a a");
  }
}

// Real files say that they are user-defined; a request that spells one must not open or end a turn.
TEST_CASE("sentencepiece - a turn's markers count in a rendered chat, never in a request's text") {
  TokenizerMetadata metadata =
      vocabulary({"<|user|>", "<|end|>", "<start_of_turn>", "<end_of_turn>", "<table>", "a"});
  metadata.add_space_prefix = metadata.add_space_after_special = false;
  for (int i = 0; i < 5; ++i)
    metadata.token_types[static_cast<size_t>(first_piece + i)] = TokenType::user_defined;
  const Tokenizer tokenizer(metadata);
  for (int i = 0; i < 4; ++i) {
    const std::string marker(tokenizer.piece(first_piece + i));
    CAPTURE(marker);
    CHECK(tokenizer.encode(marker + "a", SpecialTokens::parse_unguarded) == pieces({i, 5}));
    CHECK(tokenizer.encode(tokenizer.guard(marker), SpecialTokens::parse_unguarded).size() == marker.size());
    CHECK(tokenizer.detokenize(tokenizer.encode(marker, SpecialTokens::plain)) == marker);
    CHECK(tokenizer.bytes(first_piece + i).empty());
    CHECK(tokenizer.is_end_of_generation(first_piece + i) == (i == 1 || i == 3));
  }
  CHECK(tokenizer.encode("<table>", SpecialTokens::plain) == pieces({4}));
  CHECK(tokenizer.bytes(first_piece + 4) == "<table>");
}

TEST_CASE("sentencepiece - white space after a marker that strips it is dropped, guarded or not") {
  TokenizerMetadata metadata = vocabulary({"<|user|>", "a", "b", blank + "a", blank});
  metadata.token_types[first_piece] = TokenType::control;
  metadata.strips_white_space = {first_piece};
  const Tokenizer tokenizer(metadata);
  CHECK(tokenizer.encode("<|user|> \n\u00a0a b", SpecialTokens::parse) == pieces({0, 3, 4, 2}));
  CHECK(tokenizer.encode("<|user|>\n" + tokenizer.guard(" a"), SpecialTokens::parse_unguarded) ==
        pieces({0, 3}));
  CHECK(tokenizer.encode("<|user|>\n", SpecialTokens::parse) == pieces({0}));
}

TEST_CASE("sentencepiece - a megabyte of one character takes about linear time") {
  std::vector<std::string> runs = {blank, "a", "b", "ab", "é"};
  for (std::string run = "a"; run.size() < 256; run += run) runs.push_back(run + run);
  for (std::string run = blank; run.size() < 96; run += run) runs.push_back(run + run);
  const Tokenizer tokenizer(vocabulary(runs));
  for (const std::string unit : {"a", " ", "ab", "\u00e9", "\n", "\u4e16", " a"}) {
    CAPTURE(unit);
    std::string text;
    while (text.size() < 1 << 20) text += unit;
    CHECK(takes_linear_time(text.size() / unit.size(), [&](size_t n) {
      tokenizer.encode(std::string_view(text).substr(0, n * unit.size()), SpecialTokens::plain);
    }));
    CHECK(tokenizer.detokenize(tokenizer.encode(text, SpecialTokens::plain)) == text);
  }
}

TEST_CASE("sentencepiece - contradicting metadata are refused and the place is named") {
  const auto refusal = [](void (*damage)(TokenizerMetadata&)) -> std::string {
    TokenizerMetadata metadata = vocabulary({"a", "b", "ab"});
    damage(metadata);
    try {
      Tokenizer tokenizer(metadata);
    } catch (const Error& error) {
      CHECK(error.code() == Code::tokenizer_malformed);
      return error.diagnostics().front().text;
    }
    return "accepted";
  };
  using M = TokenizerMetadata;
  CHECK(refusal([](M& m) { m.scores.clear(); }) == "the vocabulary has neither scores nor merges");
  CHECK(refusal([](M& m) { m.scores.pop_back(); }) == "261 scores for 262 tokens");
  CHECK(refusal([](M& m) { m.token_types[first_piece] = TokenType::byte; }) ==
        "token 259 \"a\" is a byte's, but not spelled like <0x41>");
  CHECK(refusal([](M& m) { m.token_types[first_piece] = static_cast<TokenType>(7); }) ==
        "token 259 \"a\" has type 7 (known: 1 to 6)");
  CHECK(refusal([](M& m) { m.tokens[first_piece] = "\xC3"; }) == "token 259 is not UTF-8");
  CHECK(refusal([](M& m) { m.tokens[first_piece] = std::string(513, 'x'); }) ==
        "token 259 has 513 bytes; at most 512 are allowed");
  CHECK(refusal([](M& m) {
          m.scores.clear();
          m.merges = {"a c"};
        }) == "merge 0 \"a c\": \"c\" is not in the vocabulary");
  CHECK(refusal([](M& m) { m.strips_white_space = {262}; }).find("outside the vocabulary") !=
        std::string::npos);
  CHECK(refusal([](M& m) {
          m.scores.clear();
          m.merges = {"a b"};
        }) == "accepted");
}
