// tokenizer.json through reader and tokenizer, against the tokenizers library (tests/golden/tokenizer_json.py).
#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tokenizer/tokenizer.h"
#include "weights/tokenizer_json.h"

namespace tenure {
namespace {

Tokenizer tokenizer_of(const nlohmann::json& json) {
  const JsonFile file = JsonFile::parse(json.dump(), "tokenizer.json");
  return Tokenizer(read_tokenizer_json({.tokenizer = &file}, 512));
}

TEST_CASE("tokenizer.json - ids are those of the tokenizers library") {
  const nlohmann::json goldens = nlohmann::json::parse(std::ifstream("tests/data/tokenizer_json_goldens.json"));
  REQUIRE(goldens.size() == 7);
  for (const nlohmann::json& golden : goldens) {
    const std::string name = golden["name"];
    const Tokenizer tokenizer = tokenizer_of(golden["tokenizer"]);
    CAPTURE(name);
    REQUIRE(golden["cases"].size() >= 10);
    for (const nlohmann::json& one : golden["cases"]) {
      const std::string text = one[0];
      CAPTURE(text);
      CHECK(tokenizer.encode(text, SpecialTokens::parse) == one[1].get<std::vector<int32_t>>());
    }
  }
}

}  // namespace
}  // namespace tenure
