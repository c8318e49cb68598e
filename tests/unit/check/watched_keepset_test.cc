#include "check/watched_keepset.h"

#include <doctest/doctest.h>

#include <cmath>
#include <utility>
#include <vector>

using namespace tenure;

namespace {

// Two heads of four slots, the first slot protected, a budget of two each; a host that takes everything.
struct Fixture {
  std::vector<int32_t> pos{0, 1, 2, 3};
  std::vector<uint8_t> flags{TENURE_SLOT_SINK, 0, 0, 0};
  std::vector<uint8_t> released{0, 1, 1, 0, 0};
  std::vector<tenure_head_view> heads;
  tenure_view view{};
  tenure_keepset host{};
  std::vector<Rule> broken;
  WatchedKeepset keepset{[this](Rule rule, std::string) { broken.push_back(rule); }};

  Fixture() {
    for (int h = 0; h < 2; ++h)
      heads.push_back({.pos = pos.data(), .flags = flags.data(), .n_slots = 4, .budget = 2});
    view = {.n_heads = 2,
            .head_stride = sizeof(tenure_head_view),
            .heads = heads.data(),
            .n_tokens = 5,
            .released = released.data()};
    host.score = [](tenure_keepset*, uint32_t, const float* const*, const uint32_t*,
                    tenure_error*) -> tenure_status { return TENURE_OK; };
    host.keep = [](tenure_keepset*, uint32_t, const uint32_t*, const uint32_t*,
                   tenure_error*) -> tenure_status { return TENURE_OK; };
    host.rebuild = [](tenure_keepset*, int32_t, uint32_t, tenure_error*) -> tenure_status {
      return TENURE_OK;
    };
  }

  tenure_keepset* open(WatchedKeepset::Hook hook, bool spoilt = false) {
    return keepset.open(
        {.hook = hook, .layer = 1, .view = &view, .host = &host, .spoilt = spoilt, .max_rebuild_rows = 2});
  }
  // What select breaks that keeps these slots of the two heads.
  std::vector<Rule> keep(const std::vector<uint32_t>& first, const std::vector<uint32_t>& second,
                         uint32_t layer = 1) {
    std::vector<uint32_t> slots = first;
    slots.insert(slots.end(), second.begin(), second.end());
    const uint32_t offsets[] = {0, static_cast<uint32_t>(first.size()), static_cast<uint32_t>(slots.size())};
    tenure_keepset* abi = open(WatchedKeepset::Hook::select);
    abi->keep(abi, layer, offsets, slots.data(), nullptr);
    return std::exchange(broken, {});
  }
  std::vector<Rule> score(float value, const uint32_t* n_keep = nullptr, bool spoilt = false) {
    const std::vector<float> scores{1, 2, value, 4};
    const float* const of_heads[] = {scores.data(), scores.data()};
    tenure_keepset* abi = open(WatchedKeepset::Hook::observe, spoilt);
    abi->score(abi, 1, of_heads, n_keep, nullptr);
    return std::exchange(broken, {});
  }
  std::vector<Rule> rebuild(int32_t first, uint32_t n) {
    tenure_keepset* abi = open(WatchedKeepset::Hook::prepare);
    abi->rebuild(abi, first, n, nullptr);
    return std::exchange(broken, {});
  }
};

using Rules = std::vector<Rule>;

}  // namespace

TEST_CASE_FIXTURE(Fixture, "kept sets") {
  CHECK(keep({0, 3}, {0, 2}) == Rules{});
  CHECK(keep({0}, {0, 1, 2}) == Rules{});  // together within the budget
  CHECK(keep({0, 1, 2}, {0, 2}) == Rules{Rule::budget});
  CHECK(keep({0, 4}, {0, 2}) == Rules{Rule::kept_in_range});
  CHECK(keep({0, 2}, {2, 0}) == Rules{Rule::kept_ascending});
  CHECK(keep({0, 2}, {0, 0}) == Rules{Rule::kept_ascending});
  CHECK(keep({0, 2}, {1, 2}) == Rules{Rule::protected_slots});
  CHECK(keep({0, 2}, {}) == Rules{Rule::protected_slots});
  CHECK(keep({0, 2}, {0, 2}, 0) == Rules{Rule::verbs});
}

TEST_CASE_FIXTURE(Fixture, "a rebuilt slot is protected and does not count") {
  flags[3] = TENURE_SLOT_REBUILT;
  CHECK(keep({0, 1, 3}, {0, 1, 3}) == Rules{});
  CHECK(keep({0, 1}, {0, 1, 3}) == Rules{Rule::protected_slots});
}

TEST_CASE_FIXTURE(Fixture, "scores") {
  CHECK(score(3) == Rules{});
  CHECK(score(NAN) == Rules{Rule::finite_scores});
  CHECK(score(-INFINITY) == Rules{Rule::finite_scores});
  CHECK(score(NAN, nullptr, true) == Rules{});  // the evidence was to blame
  const uint32_t enough[] = {1, 3}, too_many[] = {2, 3};
  CHECK(score(3, enough) == Rules{});
  CHECK(score(3, too_many) == Rules{Rule::budget});
}

TEST_CASE_FIXTURE(Fixture, "rebuild") {
  CHECK(rebuild(1, 2) == Rules{});
  CHECK(rebuild(0, 1) == Rules{Rule::rebuild});  // never released
  CHECK(rebuild(5, 1) == Rules{Rule::rebuild});  // never fed
  CHECK(rebuild(-1, 1) == Rules{Rule::rebuild});
  CHECK(rebuild(0, 3) == Rules{Rule::rebuild});  // more than allowed
}

TEST_CASE_FIXTURE(Fixture, "verbs out of place") {
  tenure_keepset* abi = open(WatchedKeepset::Hook::observe);
  const uint32_t offsets[] = {0, 0, 0};
  abi->keep(abi, 1, offsets, nullptr, nullptr);
  abi->rebuild(abi, 1, 1, nullptr);
  CHECK(std::exchange(broken, {}) == Rules{Rule::verbs, Rule::verbs});
  keepset.close();
  CHECK(abi->score(abi, 1, nullptr, nullptr, nullptr) == TENURE_INVALID_STATE);
  CHECK(abi->rebuild(abi, 1, 1, nullptr) == TENURE_INVALID_STATE);
  CHECK(broken == Rules{Rule::verbs, Rule::verbs});
}

TEST_CASE_FIXTURE(Fixture, "what was said has a digest of its own") {
  keep({0, 3}, {0, 2});
  const uint64_t first = keepset.said().value();
  keep({0, 3}, {0, 2});
  CHECK(keepset.said().value() == first);
  keep({0, 2}, {0, 3});
  CHECK(keepset.said().value() != first);
}
