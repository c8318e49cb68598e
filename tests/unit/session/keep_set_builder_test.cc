// Each verb's rules, one by one: what is refused leaves the side arrays as they were.
#include "session/keep_set_builder.h"

#include <limits>

#include "unit/session/tiny_host.h"

namespace tenure::test {
namespace {

TinyHost& host() {
  static TinyHost tiny;
  return tiny;
}

// Layer 1's two tables hold 5 and 4 slots; slot 0 of each is a sink.
struct Fixture {
  KvAccount account;
  KvCache cache;
  KeepSetBuilder builder;
  tenure_error error{};

  Fixture() : cache(host().backend(), host().model().weights(), config(), account) {
    cache.begin_step();
    REQUIRE(cache.append(0, 5));
    std::vector<int32_t> released;
    cache.release(3, {0, 1, 3, 4}, true);
    REQUIRE(cache.settle(released).ok());
    for (uint32_t table : {2u, 3u}) cache.table(table).flags()[0] = TENURE_SLOT_SINK;
    error.head.struct_size = sizeof error;
    builder.open_selection(tables());
  }
  DecidedTables tables() { return {.cache = &cache, .layer = 1, .first = 2, .n = 2, .budget = 6}; }
  static KvConfig config() {
    KvConfig kv = host().memory().kv_config(Dtype::f32, Dtype::f32);
    kv.arrays = {.score = true, .rank = false, .state_floats = 0};
    return kv;
  }
  tenure_status score(const std::vector<float>& a, const std::vector<float>& b,
                      const std::vector<uint32_t>& n_keep = {}, uint32_t layer = 1) {
    const float* scores[] = {a.data(), b.data()};
    tenure_keepset* keepset = builder.abi();
    return keepset->score(keepset, layer, scores, n_keep.empty() ? nullptr : n_keep.data(), &error);
  }
  tenure_status keep(const std::vector<uint32_t>& offsets, const std::vector<uint32_t>& slots,
                     uint32_t layer = 1) {
    tenure_keepset* keepset = builder.abi();
    return keepset->keep(keepset, layer, offsets.data(), slots.data(), &error);
  }
  tenure_status rebuild(int32_t first, uint32_t n) {
    tenure_keepset* keepset = builder.abi();
    return keepset->rebuild(keepset, first, n, &error);
  }
  void check_refused(tenure_status got, tenure_status expected, const std::string& part) {
    CHECK(got == expected);
    CHECK(error.code == expected);
    CHECK_MESSAGE(std::string(error.text).find(part) != std::string::npos, error.text);
    CHECK(builder.violation() == error.text);
  }
};

const std::vector<float> five = {1, 2, 3, 4, 5}, four = {6, 7, 8, 9};

}  // namespace

TEST_CASE("score - is copied into the side arrays of its tables") {
  Fixture f;
  CHECK_FALSE(f.cache.table(2).is_scored());
  CHECK(f.score(five, four) == TENURE_OK);
  CHECK(f.cache.table(2).is_scored());
  CHECK(std::vector(f.cache.table(2).score().begin(), f.cache.table(2).score().end()) == five);
  CHECK(std::vector(f.cache.table(3).score().begin(), f.cache.table(3).score().end()) == four);
  CHECK(f.cache.table(0).score()[1] == 0.0f);
  CHECK(f.cache.table(2).own_budget() == UINT32_MAX);
  CHECK(f.builder.violation().empty());
}

TEST_CASE("score - what is not finite is refused whole") {
  for (float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                    std::numeric_limits<float>::quiet_NaN()}) {
    Fixture f;
    f.check_refused(f.score(five, {1, 2, bad, 4}), TENURE_NUMERIC, "slot 2 of head 1");
    CHECK(f.cache.table(2).score()[0] == 0.0f);
    CHECK_FALSE(f.cache.table(2).is_scored());
  }
  Fixture f;
  const float largest = std::numeric_limits<float>::max();
  CHECK(f.score(five, {largest, -largest, 0, std::numeric_limits<float>::denorm_min()}) == TENURE_OK);
}

TEST_CASE("score - budgets of its own fit the pool, and hold until the next score") {
  Fixture f;
  CHECK(f.score(five, four, {2, 4}) == TENURE_OK);
  CHECK(f.cache.table(2).own_budget() == 2);
  CHECK(f.cache.table(3).own_budget() == 4);
  f.builder.open_selection(f.tables());
  f.check_refused(f.score(five, four, {3, 4}), TENURE_BAD_PLAN, "7 where the budget is 6");
  CHECK(f.cache.table(2).own_budget() == 2);
  f.builder.open_selection(f.tables());
  CHECK(f.score(five, four) == TENURE_OK);
  CHECK(f.cache.table(3).own_budget() == UINT32_MAX);
}

TEST_CASE("score - NULL is refused") {
  Fixture f;
  tenure_keepset* keepset = f.builder.abi();
  f.check_refused(keepset->score(keepset, 1, nullptr, nullptr, &f.error), TENURE_BAD_PLAN, "NULL");
  f.builder.open_selection(f.tables());
  const float* one[] = {five.data(), nullptr};
  f.check_refused(keepset->score(keepset, 1, one, nullptr, &f.error), TENURE_BAD_PLAN, "head 1");
}

TEST_CASE("verbs - each only where it belongs, and for its layer") {
  Fixture f;
  f.check_refused(f.score(five, four, {}, 0), TENURE_BAD_PLAN, "layer");
  f.builder.open_selection(f.tables());
  f.check_refused(f.keep({0, 1, 2}, {0, 0}, 2), TENURE_BAD_PLAN, "layer 2");
  f.builder.open_selection(f.tables());
  f.check_refused(f.rebuild(2, 1), TENURE_INVALID_STATE, "prepare");
  f.builder.open_scoring(f.tables());
  CHECK(f.score(five, four) == TENURE_OK);
  f.check_refused(f.keep({0, 1, 2}, {0, 0}), TENURE_INVALID_STATE, "select");
  f.builder.close("p", ".select", {}, TENURE_OK);
  CHECK(f.score(five, four) == TENURE_INVALID_STATE);
  const std::vector<uint8_t> released(5, 1);
  f.builder.open_rebuild(released, 9);
  f.check_refused(f.score(five, four), TENURE_INVALID_STATE, "observe and select");
}

TEST_CASE("keep - a good set is the verdict") {
  Fixture f;
  CHECK(f.keep({0, 3, 5}, {0, 2, 4, 0, 3}) == TENURE_OK);
  CHECK(f.builder.has_kept());
  REQUIRE(f.builder.kept().size() == 2);
  CHECK(f.builder.kept()[0] == KeptSlots{0, 2, 4});
  CHECK(f.builder.kept()[1] == KeptSlots{0, 3});
  f.builder.open_selection(f.tables());
  CHECK_FALSE(f.builder.has_kept());
}

TEST_CASE("keep - each broken rule is named") {
  const auto refused = [](const std::vector<uint32_t>& offsets, const std::vector<uint32_t>& slots,
                          const std::string& part) {
    Fixture f;
    CAPTURE(part);
    f.check_refused(f.keep(offsets, slots), TENURE_BAD_PLAN, part);
    CHECK_FALSE(f.builder.has_kept());
  };
  refused({0, 2, 3}, {0, 5, 0}, "slot 5 is out of range");
  refused({0, 3, 4}, {0, 2, 2, 0}, "slot 2 is named twice");
  refused({0, 3, 4}, {0, 3, 1, 0}, "not ascending at 1");
  refused({0, 2, 3}, {1, 2, 0}, "protected slot 0 (position 0) is left out");
  refused({0, 4, 7}, {0, 1, 2, 3, 0, 1, 2}, "7 slots kept where the budget is 6");
  refused({1, 2, 3}, {0, 0, 0}, "offsets");
  refused({0, 2, 1}, {0, 1}, "offsets");
  refused({0, 6, 7}, {0, 1, 2, 3, 4, 4, 0}, "offsets");
  refused({0, 1, 9}, {0}, "offsets");
}

TEST_CASE("keep - rebuilt slots do not count, but may not be left out") {
  Fixture f;
  f.cache.table(2).flags()[3] = TENURE_SLOT_REBUILT;
  CHECK(f.keep({0, 4, 7}, {0, 1, 2, 3, 0, 1, 2}) == TENURE_OK);
  f.builder.open_selection(f.tables());
  f.check_refused(f.keep({0, 2, 3}, {0, 1, 0}), TENURE_BAD_PLAN, "slot 3 (position 3)");
}

TEST_CASE("keep - NULL is refused") {
  Fixture f;
  tenure_keepset* keepset = f.builder.abi();
  f.check_refused(keepset->keep(keepset, 1, nullptr, nullptr, &f.error), TENURE_BAD_PLAN, "NULL");
  f.builder.open_selection(f.tables());
  const uint32_t offsets[] = {0, 1, 2};
  f.check_refused(keepset->keep(keepset, 1, offsets, nullptr, &f.error), TENURE_BAD_PLAN, "NULL");
}

TEST_CASE("rebuild - only released spans of what was fed, within the rows allowed") {
  const std::vector<uint8_t> released = {0, 1, 1, 0, 1};
  const auto refused = [&](int32_t first, uint32_t n, const std::string& part) {
    Fixture f;
    CAPTURE(part);
    f.builder.open_rebuild(released, 2);
    f.check_refused(f.rebuild(first, n), TENURE_BAD_PLAN, part);
    CHECK(f.builder.rebuilds().empty());
  };
  refused(-1, 2, "never fed");
  refused(4, 2, "never fed");
  refused(1, UINT32_MAX, "never fed");
  refused(1, 0, "never fed");
  refused(1, 3, "position 3 is not released");
  Fixture f;
  f.builder.open_rebuild(released, 2);
  CHECK(f.rebuild(1, 2) == TENURE_OK);
  f.check_refused(f.rebuild(4, 1), TENURE_BAD_PLAN, "max_rebuild_rows is 2");
  REQUIRE(f.builder.rebuilds().size() == 1);
  CHECK(f.builder.rebuilds()[0].first == 1);
  f.builder.open_rebuild(released, 2);
  CHECK(f.builder.rebuilds().empty());
  CHECK(f.rebuild(4, 1) == TENURE_OK);
}

TEST_CASE("verbs - the first broken rule is the one that is told; no error struct is fine") {
  Fixture f;
  tenure_keepset* keepset = f.builder.abi();
  CHECK(keepset->rebuild(keepset, 0, 1, nullptr) == TENURE_INVALID_STATE);
  const std::string first = f.builder.violation();
  CHECK_FALSE(first.empty());
  f.keep({0, 2, 3}, {0, 5, 0});
  CHECK(f.builder.violation() == first);
}

}  // namespace tenure::test
