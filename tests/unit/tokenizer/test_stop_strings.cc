#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>

#include "tokenizer/stop_strings.h"

using namespace tenure;

namespace {

// What may be shown of `text` once all of it is known: everything before the stop that is complete first, the
// longest of those that end there.
std::string reference(const std::string& text, const std::vector<std::string>& stops) {
  for (size_t end = 1; end <= text.size(); ++end) {
    size_t longest = 0;
    for (const std::string& stop : stops) {
      if (!stop.empty() && std::string_view(text).substr(0, end).ends_with(stop))
        longest = std::max(longest, stop.size());
    }
    if (longest > 0) return text.substr(0, end - longest);
  }
  return text;
}

}  // namespace

TEST_CASE("stop strings - a possible beginning is held back until it cannot be one") {
  StopStrings stops({"END"});
  std::string shown;
  CHECK_FALSE(stops.push("abcE", shown));
  CHECK(shown == "abc");
  CHECK_FALSE(stops.push("N", shown));
  CHECK(shown == "abc");
  CHECK_FALSE(stops.push("EN", shown));
  CHECK(shown == "abcEN");
  CHECK(stops.push("D more", shown));
  CHECK(shown == "abcEN");
  CHECK(stops.push("still", shown));
  stops.finish(shown);
  CHECK(shown == "abcEN");
}

TEST_CASE("stop strings - what was held back is shown when the stream ends without a stop") {
  StopStrings stops({"\n\nUser:", ""});
  std::string shown;
  CHECK_FALSE(stops.push("Hi\n\nUse", shown));
  CHECK(shown == "Hi");
  stops.finish(shown);
  CHECK(shown == "Hi\n\nUse");
  CHECK_FALSE(stops.stopped());
}

TEST_CASE(
    "stop strings - of stops that end together the longest counts, of others the first to be complete") {
  std::string shown;
  CHECK(StopStrings({"c", "abc"}).push("xabc", shown));
  CHECK(shown == "x");
  shown.clear();
  CHECK(StopStrings({"abcd", "b"}).push("xabcd", shown));
  CHECK(shown == "xa");
}

TEST_CASE(
    "stop strings - any text in any pieces shows what the reference shows, and never a part of a stop") {
  std::mt19937 random(11);
  const auto word = [&](unsigned max) {
    std::string text;
    for (unsigned n = random() % (max + 1); n > 0; --n) text += "ab"[random() % 2];
    return text;
  };
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::string> list;
    for (unsigned n = random() % 4; n > 0; --n) list.push_back(word(5));
    const std::string text = word(24);
    const std::string expected = reference(text, list);
    StopStrings stops(list);
    std::string shown;
    for (size_t at = 0; at < text.size();) {
      const size_t n = 1 + random() % 4;
      stops.push(std::string_view(text).substr(at, n), shown);
      at += n;
      REQUIRE(expected.starts_with(shown));
    }
    CHECK(stops.stopped() == (expected.size() < text.size()));
    stops.finish(shown);
    REQUIRE(shown == expected);
  }
}
