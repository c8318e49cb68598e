#include "record/request.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "error/error.h"
#include "record/json_value.h"
#include "scratch.h"

using namespace tenure;

namespace {

Request good(std::string_view line, const LineMapping& mapping = {}) {
  auto parsed = parse_request(line, 7, mapping);
  if (const auto* error = std::get_if<RequestError>(&parsed)) FAIL(error->message);
  return std::get<Request>(std::move(parsed));
}

RequestError bad(std::string_view line, const LineMapping& mapping = {}) {
  const auto parsed = parse_request(line, 7, mapping);
  REQUIRE_MESSAGE(std::holds_alternative<RequestError>(parsed), std::string(line.substr(0, 200)));
  CHECK(std::get<RequestError>(parsed).line == 7);
  return std::get<RequestError>(parsed);
}

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("request - takes every key of the contract") {
  const Request r =
      good(R"({"id":"a","prompt":"Hi","answer":["x","y"],"continuation":"c","max_new_tokens":5,)"
           R"("seed":18446744073709551615,"stop":"\n","samples":3,"label":"far","metadata":{"k":[1,2.50]}})");
  CHECK(r.id == "a");
  CHECK(r.line == 7);
  CHECK(std::get<std::string>(r.input) == "Hi");
  CHECK(r.answers == std::vector<std::string>{"x", "y"});
  CHECK(r.continuation == "c");
  CHECK(r.options.max_new_tokens == 5);
  CHECK(r.options.seed == UINT64_MAX);
  CHECK(r.options.samples == 3);
  CHECK(r.options.stop == std::vector<std::string>{"\n"});
  CHECK(r.label == "far");
  CHECK(r.metadata == R"({"k":[1,2.50]})");
  CHECK(std::get<std::vector<int32_t>>(good(R"({"id":"a","tokens":[1,2,3]})").input) ==
        std::vector<int32_t>{1, 2, 3});
  CHECK(std::get<std::vector<Message>>(
            good(R"({"id":"a","messages":[{"role":"user","content":"Hi"}]})").input)[0]
            .content == "Hi");
}

TEST_CASE("request - segments keep their order and keys") {
  const Request r = good(
      R"({"id":"a","segments":[{"text":"long","role":"user"},{"text":"Q","generate":8,"answer":"A","label":"l","fork":true},)"
      R"({"role":"assistant","text":"It is","score":" blue"}]})");
  const auto& s = std::get<std::vector<RequestSegment>>(r.input);
  REQUIRE(s.size() == 3);
  CHECK(s[0].role == "user");
  CHECK_FALSE(s[0].fork);
  CHECK(s[1].generate == 8);
  CHECK(s[1].answers == std::vector<std::string>{"A"});
  CHECK(s[1].fork);
  CHECK(s[2].score == " blue");
  CHECK(has(bad(R"({"id":"a","segments":[{"text":"x","generate":1,"score":"y"}]})").message,
            "both generate and score"));
  CHECK(has(bad(R"({"id":"a","segments":[]})").message, "empty"));
  CHECK(has(bad(R"({"id":"a","segments":[{"role":"user"}]})").message, "nothing to feed"));
  CHECK(has(bad(R"({"id":"a","max_new_tokens":3,"segments":[{"text":"x"}]})").message, "whole prompts"));
}

TEST_CASE("request - a mistyped key is an error with a suggestion") {
  CHECK(has(bad(R"({"id":"a","promt":"x"})").message, "did you mean \"prompt\"?"));
  CHECK(has(bad(R"({"id":"a","segments":[{"txt":"x"}]})").message, "did you mean \"text\"?"));
  CHECK(bad(R"({"id":"a","promt":"x"})").id == "a");
  good(R"({"id":"a","prompt":"x","x-note":1})");
}

TEST_CASE("request - missing, doubled and mistyped values are errors") {
  CHECK(bad(R"({"prompt":"x"})").id == "line-7");
  CHECK(has(bad(R"({"id":5,"prompt":"x"})").message, "takes a string"));
  CHECK(has(bad(R"({"id":"","prompt":"x"})").message, "empty"));
  CHECK(has(bad(R"({"id":"a"})").message, "no input"));
  CHECK(has(bad(R"({"id":"a","prompt":"x","tokens":[1]})").message, "one input"));
  CHECK(has(bad(R"({"id":"a","prompt":"x","max_new_tokens":0})").message, "allowed"));
  CHECK(has(bad(R"({"id":"a","prompt":"x","max_new_tokens":1.5})").message, "an integer"));
  CHECK(has(bad(R"({"id":"a","prompt":"x","seed":-1})").message, "seed"));
  CHECK(has(bad(R"({"id":"a","tokens":[1,-2]})").message, "allowed"));
  CHECK(has(bad(R"({"id":"a","tokens":[1,99999999999999999999999999]})").message, "integer"));
  CHECK(has(bad("[1]").message, "object"));
}

TEST_CASE("request - hostile JSON is an error row, never an exception") {
  CHECK(has(bad(R"({"id":"a","id":"b","prompt":"x"})").message, "twice"));
  CHECK(has(bad(R"({"id":"a","metadata":{"k":1,"k":2},"prompt":"x"})").message, "twice"));
  CHECK(has(bad(R"({"id":"a","metadata":)" + std::string(100'000, '[')).message, "deeper than 64"));
  CHECK(has(bad(R"({"id":"a","prompt":"x","metadata":1e400})").message, "number overflow"));
  bad(R"({"id":"a","prompt":"x","seed":NaN})");
  bad(R"({"id":"a","prompt":"\ud800"})");
  bad("{\"id\":\"a\",\"prompt\":\"\xff\"}");
  bad(std::string("{\"id\":\"a\",\"prompt\":\"\0\"}", 23));
  bad(R"({"id":"a","prompt":"x"} trailing)");
  bad(R"({"id":"a","prompt":"x")");
  CHECK(has(bad(R"({"id":"a","prompt":"x","seed":123456789012345678901234567890})").message, "seed"));
  CHECK(good(R"({"id":"a","prompt":"x","metadata":123456789012345678901234567890})").metadata ==
        "123456789012345678901234567890");
}

TEST_CASE("request - too many values in a line are refused before they take memory") {
  std::string line = R"({"id":"a","metadata":[0)";
  for (size_t i = 0; i < max_json_values; ++i) line += ",0";
  CHECK(has(bad(line + "],\"prompt\":\"x\"}").message, "values"));
}

TEST_CASE("request - takes OpenAI batch lines") {
  const Request r = good(
      R"({"custom_id":"c1","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":)"
      R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}],"max_tokens":9,)"
      R"("temperature":0.5,"top_p":0.9,"seed":3,"stop":["x"],"n":2,"stream":false}})");
  CHECK(r.id == "c1");
  CHECK(std::get<std::vector<Message>>(r.input)[0].content == "ab");
  CHECK(r.options.max_new_tokens == 9);
  CHECK(r.options.temperature == 0.5);
  CHECK(r.options.top_p == 0.9);
  CHECK(r.options.samples == 2);
  CHECK(std::get<std::string>(
            good(R"({"custom_id":"c","url":"/v1/completions","body":{"prompt":"p"}})").input) == "p");
  CHECK(has(bad(R"({"custom_id":"c","url":"/v1/embeddings","body":{"prompt":"p"}})").message,
            "/v1/embeddings"));
  CHECK(has(bad(R"({"custom_id":"c","body":{"prompt":"p","stream":true}})").message, "stream"));
  CHECK(bad(R"({"custom_id":"c","body":{"prompt":"p","tempratur":1}})").id == "c");
}

TEST_CASE("mapping - a foreign line becomes a request") {
  LineMapping mapping{.map = {{"id", "doc.id"}, {"answer", "gold"}},
                      .prompt = RequestTemplate("Sum {{up}}:\n{body}\n{doc.n} {tags}")};
  const Request r = good(
      R"({"doc":{"id":12,"n":3},"body":"B{x}","gold":"G","tags":["t"],"prompt":"ignored","whatever":null})",
      mapping);
  CHECK(r.id == "12");
  CHECK(r.answers == std::vector<std::string>{"G"});
  CHECK(std::get<std::string>(r.input) == "Sum {up}:\nB{x}\n3 [\"t\"]");
  const RequestError missing = bad(R"({"doc":{"id":"d"},"gold":"G"})", mapping);
  CHECK(has(missing.message, "{body}"));
  CHECK(missing.id == "d");
  CHECK(has(bad(R"({"doc":{"id":"d","n":1},"body":"b","tags":1})", mapping).message, "gold"));
}

TEST_CASE("template - bad braces are refused at once") {
  for (const char* text : {"{", "{}", "a}b", "{a{b}}", "{a"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(RequestTemplate{text}, Error);
  }
}

TEST_CASE("text file - is one prompt, through the template if there is one") {
  LineMapping mapping{.map = {}, .prompt = RequestTemplate("{name}: {text}")};
  CHECK(std::get<std::string>(std::get<Request>(request_from_text("d/f.txt", "body", mapping)).input) ==
        "f.txt: body");
  CHECK(std::holds_alternative<RequestError>(request_from_text("d/f.txt", "")));
}
