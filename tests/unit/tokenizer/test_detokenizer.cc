#include <doctest/doctest.h>

#include <random>
#include <string>

#include "tokenizer/detokenizer.h"
#include "tokenizer/utf8.h"

using namespace tenure;

namespace {

std::string streamed(std::string_view bytes, size_t step) {
  Detokenizer detokenizer;
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += step) detokenizer.push(bytes.substr(i, step), text);
  detokenizer.finish(text);
  return text;
}

}  // namespace

// Expected values: bytes.decode("utf-8", errors="replace") of CPython 3.11.
TEST_CASE("detokenizer - ill-formed bytes become one U+FFFD per maximal subpart") {
  const std::string r(replacement_character);
  CHECK(replace_invalid_utf8("\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64") ==
        "a" + r + r + r + "b" + r + "c" + r + r + "d");
  CHECK(replace_invalid_utf8("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41") == r + r + r + r + r + r + r + r + "A");
  CHECK(replace_invalid_utf8("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41") == r + r + r + r + r + r + r + r + "A");
  CHECK(replace_invalid_utf8("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42") ==
        r + r + r + r + r + "A" + r + r + "B");
  CHECK(replace_invalid_utf8("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41") == r + r + r + r + "A");
  CHECK(replace_invalid_utf8(std::string_view("a\0b", 3)) == std::string_view("a\0b", 3));
}

TEST_CASE("detokenizer - a character split over tokens appears when it is complete") {
  Detokenizer detokenizer;
  std::string text;
  detokenizer.push("a\xF0\x9F", text);
  CHECK(text == "a");
  detokenizer.push("\x98", text);
  CHECK(text == "a");
  detokenizer.push("\x80z", text);
  CHECK(text == "a\xF0\x9F\x98\x80z");
  detokenizer.push("\xE4\xB8", text);
  detokenizer.finish(text);
  CHECK(text == "a\xF0\x9F\x98\x80z\xEF\xBF\xBD");
  detokenizer.push("\xAD", text);  // a new stream: the old start is gone
  detokenizer.finish(text);
  CHECK(text == "a\xF0\x9F\x98\x80z\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST_CASE("detokenizer - the cuts between pushes never matter, and the text is always valid") {
  std::mt19937 random(7);
  const std::string_view likely =
      "\xF0\x9F\x98\x80\xE4\xB8\xAD\xC3\xA9\xED\xA0\xF4\xC0\xFF"
      "az";
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (unsigned i = random() % 24; i > 0; --i) bytes += likely[random() % likely.size()];
    const std::string whole = replace_invalid_utf8(bytes);
    for (size_t step : {size_t{1}, size_t{2}, size_t{3}, size_t{5}}) CHECK(streamed(bytes, step) == whole);
    for (std::string_view left = whole; !left.empty();) {
      const Utf8Sequence sequence = read_utf8(left);
      REQUIRE(sequence.status == Utf8Status::valid);
      left.remove_prefix(sequence.n_bytes);
    }
  }
}

TEST_CASE("utf8 - every character survives writing and reading") {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    append_utf8(text, c);
    const Utf8Sequence sequence = read_utf8(text);
    if (sequence.value != c || sequence.n_bytes != text.size() || sequence.status != Utf8Status::valid)
      FAIL(uint32_t{c});
  }
}
