#include <doctest/doctest.h>

#include "eval/compare_rows.h"

using namespace tenure;

namespace {

RowSegment answer(int64_t index, std::string text, std::vector<int32_t> tokens) {
  RowSegment segment;
  segment.index = index;
  segment.text = std::move(text);
  segment.tokens = std::move(tokens);
  segment.finish = Finish::length;
  return segment;
}

ResultRow row_with(std::vector<RowSegment> segments, int64_t peak_bytes) {
  ResultRow row;
  row.segments = std::move(segments);
  row.kv = RowKv{.peak_bytes = peak_bytes};
  return row;
}

}  // namespace

TEST_CASE("compare - one answer each") {
  const ResultRow reference = row_with({answer(0, "the red ship", {1, 2, 3, 4})}, 1000);
  const ResultRow row = row_with({answer(0, "the blue ship", {1, 2, 9, 4})}, 250);
  CHECK(compare_rows(reference, row, {"agree_tokens", "exact_match", "token_f1", "rouge_l", "kv.peak_bytes"}) ==
        NamedValues{{"agree_tokens", 2}, {"exact_match", 0}, {"token_f1", 2.0 / 3}, {"rouge_l", 2.0 / 3}, {"kv.peak_bytes", 0.25}});
  CHECK(compare_rows(reference, reference, {"exact_match", "agree_tokens", "kv.peak_bytes"}) ==
        NamedValues{{"exact_match", 1}, {"agree_tokens", 4}, {"kv.peak_bytes", 1}});
}

TEST_CASE("compare - several answers: the mean over those that both gave") {
  RowSegment fed;  // text that was only fed
  fed.index = 0;
  const ResultRow reference = row_with({fed, answer(1, "yes", {1, 2}), answer(2, "no", {3, 4}), answer(3, "only here", {5})}, 1);
  const ResultRow row = row_with({fed, answer(1, "yes", {1, 2}), answer(2, "maybe", {3, 9})}, 1);
  CHECK(compare_rows(reference, row, {"exact_match", "agree_tokens"}) == NamedValues{{"exact_match", 0.5}, {"agree_tokens", 1.5}});
}

TEST_CASE("compare - what cannot be said is left out") {
  ResultRow scored = row_with({}, 100);
  ResultRow reference = row_with({answer(0, "x", {1})}, 0);
  CHECK(compare_rows(reference, scored, {"exact_match", "agree_tokens", "token_f1", "rouge_l"}).empty());
  CHECK(compare_rows(reference, scored, {"kv.peak_bytes"}).empty());    // a reference of 0
  CHECK(compare_rows(scored, reference, {"timing.total_ms"}).empty());  // not measured
  CHECK(compare_rows(scored, reference, {"kv.peak_bytes"}) == NamedValues{{"kv.peak_bytes", 0}});
}
