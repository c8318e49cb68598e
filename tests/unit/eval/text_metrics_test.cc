#include <doctest/doctest.h>

#include <variant>

#include "eval/text_metrics.h"
#include "record/file_io.h"
#include "record/json_value.h"

using namespace tenure;

TEST_CASE("words - runs of letters, digits and bytes outside ASCII, in lower case") {
  CHECK(words_of("Don't STOP") == std::vector<std::string>{"don", "t", "stop"});
  CHECK(words_of("naïve--café 3x") == std::vector<std::string>{"naïve", "café", "3x"});
  CHECK(words_of(" .,\n").empty());
}

TEST_CASE("same_text - only the white space around does not count") {
  CHECK(same_text(" Paris.\n", "Paris."));
  CHECK(same_text("", " \t"));
  CHECK_FALSE(same_text("Paris", "paris"));
  CHECK_FALSE(same_text("a  b", "a b"));
}

TEST_CASE("agreeing_tokens - the common prefix, not what agrees later") {
  const std::vector<int32_t> a = {5, 6, 7, 8}, b = {5, 6, 9, 8}, none = {};
  CHECK(agreeing_tokens(a, b) == 2);
  CHECK(agreeing_tokens(a, a) == 4);
  CHECK(agreeing_tokens(a, std::span(a).first(3)) == 3);
  CHECK(agreeing_tokens(a, none) == 0);
}

TEST_CASE("token_f1, rouge_l - hand-computed") {
  // 3 of 4 and 3 of 4 words in order.
  CHECK(rouge_l("police killed the gunman", "police kill the gunman") == doctest::Approx(0.75));
  // The same words in another order: all shared, but only one in order.
  CHECK(token_f1("a b c d", "d c b a") == doctest::Approx(1));
  CHECK(rouge_l("a b c d", "d c b a") == doctest::Approx(0.25));
  // Each word counts as often as both have it: 2 × 1 ÷ (3 + 1).
  CHECK(token_f1("the the the", "the") == doctest::Approx(0.5));
}

TEST_CASE("token_f1, rouge_l - the textbook definitions in Python agree") {
  const auto parsed = parse_json(read_file("tests/data/text_metrics.json"));
  const auto* root = std::get_if<JsonValue>(&parsed);
  REQUIRE(root);
  REQUIRE(root->array());
  CHECK(root->array()->size() > 60);
  for (const JsonValue& pair : *root->array()) {
    const std::string& a = *pair.find("a")->string();
    const std::string& b = *pair.find("b")->string();
    CAPTURE(a);
    CAPTURE(b);
    CHECK(token_f1(a, b) == doctest::Approx(*pair.find("token_f1")->number()));
    CHECK(rouge_l(a, b) == doctest::Approx(*pair.find("rouge_l")->number()));
  }
}
