// How rows, segments and wants are laid out for a backend.
#include "model/batch.h"

#include "unit/session/tiny_host.h"

namespace tenure::test {
namespace {

TinyHost& host() {
  static TinyHost tiny;
  return tiny;
}

}  // namespace

TEST_CASE("batch - segments of every layer point to their sequences' own heads") {
  KvAccount account;
  KvCache a(host().backend(), host().model().weights(), host().memory().kv_config(Dtype::f32, Dtype::f32),
            account);
  KvCache b(host().backend(), host().model().weights(), host().memory().kv_config(Dtype::f32, Dtype::f32),
            account);
  a.begin_step();
  b.begin_step();
  REQUIRE(a.append(0, 3));
  REQUIRE(b.append(0, 2));
  Batch batch;
  const std::vector<int32_t> of_a = {30, 31, 32}, of_b = {40, 41};
  CHECK(batch.add({.cache = &a,
                   .appended = 0,
                   .kind = TENURE_ROWS_PREFILL,
                   .ids = of_a,
                   .first_pos = 0,
                   .n_mass_rows = 2}) == 0);
  CHECK(batch.add({.cache = &b,
                   .appended = 0,
                   .kind = TENURE_ROWS_PREFILL,
                   .ids = of_b,
                   .first_pos = 0,
                   .n_mass_rows = 0}) == 3);
  batch.seal(nullptr, host().config().n_layers);
  CHECK(batch.forward().n_rows == 5);
  CHECK(std::vector(batch.forward().ids, batch.forward().ids + 5) ==
        std::vector<int32_t>{30, 31, 32, 40, 41});
  CHECK(std::vector(batch.forward().positions, batch.forward().positions + 5) ==
        std::vector<int32_t>{0, 1, 2, 0, 1});
  for (uint32_t layer = 0; layer < host().config().n_layers; ++layer) {
    const tenure_segment* segments = batch.segments(layer);
    CHECK(segments[0].n_mass_rows == 2);
    CHECK(segments[1].first_row == 3);
    for (uint32_t head = 0; head < 2; ++head) {
      CHECK(segments[0].heads[head].pages == a.view(layer, head, 0).pages);
      CHECK(segments[1].heads[head].pages == b.view(layer, head, 0).pages);
      CHECK(segments[1].heads[head].n_slots == 2);
    }
  }
}

TEST_CASE("batch - wants keep their ids apart, also after being filled anew") {
  Batch batch;
  for (int round = 0; round < 2; ++round) {
    batch.clear();
    const std::vector<int32_t> first = {5, 6}, second = {7};
    CHECK(batch.want(0, {.flags = TENURE_WANT_LOGITS_AT, .ids = first}) == 0);
    CHECK(batch.want(3, {.flags = TENURE_WANT_ARGMAX}) == 1);
    CHECK(batch.want(3, {.flags = TENURE_WANT_LOGITS_AT, .ids = second}) == 2);
    batch.seal(nullptr, 1);
    REQUIRE(batch.wants().size() == 3);
    CHECK(batch.wants()[0].n_ids == 2);
    CHECK(batch.wants()[2].ids[0] == 7);
    batch.wants()[2].logits_at[0] = 2.5f;
    CHECK(batch.logit_at(2, 0) == 2.5f);
    CHECK(batch.wants()[1].row == 3);
  }
}

}  // namespace tenure::test
