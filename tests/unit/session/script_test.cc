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

}  // namespace tenure::test
