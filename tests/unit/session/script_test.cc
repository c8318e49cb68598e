#include "session/script.h"

#include <doctest/doctest.h>

namespace tenure::test {
namespace {

SegmentScript segment(size_t n_ids, uint32_t generate, size_t n_score, bool fork = false) {
  return {.ids = std::vector<int32_t>(n_ids),
          .generate = generate,
          .score = std::vector<int32_t>(n_score),
          .fork = fork,
          .label = "",
          .answers = {}};
}

}  // namespace

TEST_CASE("script - the longest path is the trunk and its longest fork") {
  SessionScript script;
  script.segments = {segment(100, 0, 0), segment(10, 50, 0, true), segment(20, 5, 0, true), segment(7, 3, 0),
                     segment(5, 0, 6, true)};
  CHECK(script.n_fed() == 100 + 20);
  CHECK(script.n_total() == 100 + 10 + 50);
  script.segments[1].generate = 4;
  CHECK(script.n_total() == 100 + 20 + 5);
  CHECK(SessionScript().n_total() == 0);
}

TEST_CASE("script - tokens scored in place of an answer leave budget and positions what they were for the answer") {
  SessionScript answering, probing;
  answering.segments = {segment(100, 32, 0)};
  probing.segments = {segment(100, 0, 7)};
  probing.segments[0].in_place_of = 32;
  CHECK(probing.n_fed() == answering.n_fed());
  CHECK(probing.n_total() == answering.n_total());
  probing.segments[0].score.resize(40);
  CHECK(probing.n_total() == 140);
}

}  // namespace tenure::test
