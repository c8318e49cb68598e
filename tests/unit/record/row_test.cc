#include "record/row.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "made_rows.h"
#include "record/json_value.h"

using namespace tenure;

TEST_CASE("row - reads back what it wrote, whatever is in it") {
  MadeRows made(1);
  for (int i = 0; i < 500; ++i) {
    const ResultRow row = made.row();
    const std::string line = to_json_line(row);
    REQUIRE(line.find('\n') == std::string::npos);
    const auto back = parse_row(line);
    REQUIRE(back);
    CHECK(to_json_line(*back) == line);
    CHECK(back->text == row.text);
    CHECK(back->seed == row.seed);
    CHECK(back->axes == row.axes);
    CHECK(back->tokens == row.tokens);
    CHECK(back->segments.size() == row.segments.size());
    CHECK(back->timing.has_value() == row.timing.has_value());
    if (row.timing) CHECK(back->timing->ttft_ms == row.timing->ttft_ms);
    if (row.kv) CHECK(back->kv->peak_bytes == row.kv->peak_bytes);
  }
}

TEST_CASE("row - keys come in the order of the contract") {
  const auto parsed = parse_json(to_json_line(ResultRow{}));
  const std::vector<std::string> wanted = {
      "schema",   "id",    "cell",   "axes",   "stage",  "policy",      "sample",   "attempt", "status",
      "error",    "text",  "tokens", "finish", "answer", "exact_match", "segments", "seed",    "determinism",
      "metadata", "usage", "timing", "kv",     "events", "score",       "fidelity", "alerts",  "compare"};
  std::vector<std::string> keys;
  for (const JsonMember& member : *std::get<JsonValue>(parsed).object()) keys.push_back(member.key);
  CHECK(keys == wanted);
}

TEST_CASE("row - invalid UTF-8 becomes U+FFFD and the line stays JSON") {
  ResultRow row;
  row.id = "a\xff";
  row.text = "ok \xe6\xbc";  // a completion that ended inside a character
  row.error = RowError{.code = RowCode::internal, .message = "\xc0\xaf", .plugin = ""};
  const auto parsed = parse_json(to_json_line(row));
  REQUIRE(std::holds_alternative<JsonValue>(parsed));
  CHECK(*std::get<JsonValue>(parsed).find("id")->string() == "a\xef\xbf\xbd");
  CHECK(std::get<JsonValue>(parsed).find("text")->string()->starts_with("ok \xef\xbf\xbd"));
}

TEST_CASE("row - NaN and infinity are null") {
  ResultRow row;
  row.exact_match = std::nan("");
  row.compare = {{"kl", std::numeric_limits<double>::infinity()}};
  const auto parsed = parse_json(to_json_line(row));
  REQUIRE(std::holds_alternative<JsonValue>(parsed));
  CHECK(std::get<JsonValue>(parsed).find("exact_match")->is_null());
  CHECK(std::get<JsonValue>(parsed).at_path("compare.kl")->is_null());
}

TEST_CASE("row - every proper prefix of a line is no row") {
  MadeRows made(2);
  const std::string line = to_json_line(made.row());
  for (size_t n = 0; n < line.size(); ++n) CHECK_FALSE(parse_row(std::string_view(line).substr(0, n)));
  CHECK_FALSE(parse_row("{}"));
  CHECK_FALSE(parse_row("[1]"));
}

TEST_CASE("row metrics - are found by path, segments as their mean") {
  ResultRow row;
  row.kv = RowKv{.peak_bytes = 12345};
  row.segments.resize(3);
  row.segments[0].exact_match = true;
  row.segments[1].exact_match = false;
  row.compare = {{"kl", 0.5}};
  CHECK(metric_of(row, "kv.peak_bytes") == 12345);
  CHECK(metric_of(row, "segments.exact_match") == 0.5);
  CHECK(metric_of(row, "compare.kl") == 0.5);
  CHECK(metric_of(row, "kl") == 0.5);
  CHECK_FALSE(metric_of(row, "kv.budget_slots"));
  CHECK_FALSE(metric_of(row, "timing.ttft_ms"));
}

TEST_CASE("exact match - is a trimmed prefix of any answer") {
  CHECK(exact_match("  Paris, of course", {"London", "Paris "}) == true);
  CHECK(exact_match("paris", {"Paris"}) == false);
  CHECK(exact_match("", {"Paris"}) == false);
  CHECK(exact_match("anything", {" "}) == false);
  CHECK_FALSE(exact_match("Paris", {}).has_value());
}
