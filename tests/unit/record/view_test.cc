#include <doctest/doctest.h>

#include "error/error.h"
#include "record/json_value.h"
#include "record/row_view.h"
#include "record/row_writer.h"
#include "scratch.h"

using namespace tenure;

namespace {

ResultRow row_of(std::string id, std::string stage, int64_t attempt = 1) {
  ResultRow row;
  row.id = std::move(id);
  row.stage = std::move(stage);
  row.attempt = attempt;
  row.text = "hello";
  row.finish = Finish::length;
  row.usage = RowUsage{10, 2};
  row.kv = RowKv{.peak_bytes = 77};
  row.metadata = R"({"n":123456789012345678901234567890})";
  return row;
}

}  // namespace

TEST_CASE("view - selects fields with their nesting and says null for what is missing") {
  const RowView view{.fields = {"id", "kv.peak_bytes", "kv.end_bytes", "metadata.n", "score.ppl"}};
  CHECK(
      view_line(view, to_json_line(row_of("a", "s"))) ==
      R"({"id":"a","kv":{"peak_bytes":77,"end_bytes":0},"metadata":{"n":123456789012345678901234567890},"score":{"ppl":null}})");
  CHECK(view_line({}, "{\"x\":1}") == "{\"x\":1}");
}

TEST_CASE("view - the OpenAI shape has what its readers look for") {
  const auto parsed =
      parse_json(view_line({.format = RowView::Format::openai}, to_json_line(row_of("a", "s"))));
  const JsonValue& line = std::get<JsonValue>(parsed);
  CHECK(*line.find("custom_id")->string() == "a");
  CHECK(line.at_path("response.status_code")->integer() == 200);
  const JsonValue& choice = line.at_path("response.body.choices")->array()->at(0);
  CHECK(*choice.at_path("message.content")->string() == "hello");
  CHECK(*choice.find("finish_reason")->string() == "length");
  CHECK(line.at_path("response.body.usage.total_tokens")->integer() == 12);
  ResultRow failed = row_of("b", "s");
  failed.status = RowStatus::error;
  failed.error = RowError{RowCode::too_long, "9000 tokens", ""};
  const auto error = parse_json(view_line({.format = RowView::Format::openai}, to_json_line(failed)));
  CHECK(std::get<JsonValue>(error).find("response")->is_null());
  CHECK(*std::get<JsonValue>(error).at_path("error.code")->string() == "too_long");
}

TEST_CASE("view - is rebuilt from the current rows of its stages, never onto the results") {
  const Scratch scratch;
  const std::string results = scratch.file("results.jsonl");
  {
    RowWriter rows(results, {});
    rows.write(row_of("a", "s"));
    rows.write(row_of("a", "other"));
    rows.write(row_of("a", "s", 2));
    rows.write(row_of("b", "s"));
  }
  const RowView view{.stages = {"s"}, .fields = {"id", "attempt"}};
  CHECK(write_view(view, results, scratch.file("out.jsonl")) == 2);
  CHECK(Scratch::read(scratch.file("out.jsonl")) ==
        "{\"id\":\"a\",\"attempt\":2}\n{\"id\":\"b\",\"attempt\":1}\n");
  CHECK_THROWS_AS(write_view(view, results, results), Error);
}
