// The policies' formulas on hand-made views: no model, no cache.
#include "plugin/policy.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "unit/plugin/fake_view.h"
#include "unit/plugin/plugin_fixture.h"

namespace tenure::test {
namespace {

struct Loaded {
  explicit Loaded(const fs::path& path) : library(plugin_at(path), HostLoan{}) {}
  Policy policy() { return Policy(library, model.info(), defaults_of(library.file())); }
  FakeModel model;
  Library library;
};

// One select call for one sequence.
std::vector<std::vector<float>> selected(const Policy& policy, FakeView& view, uint32_t layer) {
  FakeKeepSet keepset(view);
  const tenure_view* views[] = {view.view()};
  tenure_keepset* keepsets[] = {&keepset.face};
  tenure_status statuses[] = {TENURE_INTERNAL};
  CHECK(policy.select(call_in(TENURE_PHASE_DECODE), layer, views, keepsets, statuses).ok());
  CHECK(statuses[0] == TENURE_OK);
  CHECK(keepset.layer == layer);
  return keepset.scores;
}

std::vector<std::vector<float>> observed(const Policy& policy, FakeView& view, uint32_t layer) {
  FakeKeepSet keepset(view);
  const tenure_evidence evidence = view.evidence(keepset.face);
  const tenure_evidence* pointers[] = {&evidence};
  tenure_status statuses[] = {TENURE_INTERNAL};
  CHECK(policy.observe(call_in(TENURE_PHASE_CHUNK), layer, pointers, statuses).ok());
  CHECK(statuses[0] == TENURE_OK);
  CHECK(keepset.layer == layer);
  return keepset.scores;
}

PolicySequence begun(const Policy& policy, FakeView& view, uint64_t seed, uint32_t forked = 0) {
  tenure_sequence_info info{};
  info.head.struct_size = sizeof info;
  info.seed = seed;
  info.forked = forked;
  info.state = view.state().data();
  PolicySequence sequence;
  CHECK(policy.begin(call_in(TENURE_PHASE_CHUNK), info, sequence).ok());
  return sequence;
}

std::vector<int32_t> positions_of_the_best(const std::vector<float>& scores, const std::vector<int32_t>& pos,
                                           size_t n) {
  std::vector<size_t> order(pos.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  std::vector<int32_t> best;
  for (size_t i = 0; i < n; ++i) best.push_back(pos[order[i]]);
  std::sort(best.begin(), best.end());
  return best;
}

}  // namespace

TEST_CASE("full - declares nothing, decides nothing") {
  Loaded plugin(built("plugins", "policy_full"));
  const Policy policy = plugin.policy();
  CHECK(policy.needs() == PolicyNeeds{});
  CHECK_FALSE(policy.has_prepare());
  CHECK_FALSE(policy.has_observe());
  CHECK_FALSE(policy.has_select());
  CHECK(policy.manifest().needs.phases.empty());
}

TEST_CASE("streaming_llm - the newest positions score highest, wherever their slots lie") {
  Loaded plugin(built("plugins", "policy_streaming_llm"));
  const Policy policy = plugin.policy();
  CHECK(policy.needs().evidence == 0);
  CHECK(policy.manifest().defaults.positions == PositionMode::rank);
  FakeView view(1, 6);
  view.head(0).pos = {0, 9, 3, 40000001, 7, 5};  // decode moves slots; positions beyond 2^24 still rank
  const auto scores = selected(policy, view, TENURE_ALL_LAYERS);
  REQUIRE(scores.size() == 1);
  CHECK(positions_of_the_best(scores[0], view.head(0).pos, 3) == std::vector<int32_t>{7, 9, 40000001});
}

TEST_CASE("h2o - attention mass adds up in the slot's own state, head by head") {
  Loaded plugin(built("plugins", "policy_h2o"));
  const Policy policy = plugin.policy();
  CHECK(policy.needs().evidence == TENURE_EVIDENCE_ATTENTION_MASS);
  CHECK(policy.needs().mass_rows == UINT32_MAX);
  CHECK(policy.needs().state_floats_per_slot == 1);
  FakeView view(2, 3);
  view.head(0).mass = {0.5f, 0.25f, 0.0f};
  view.head(1).mass = {0.0f, 0.0f, 2.0f};
  CHECK(observed(policy, view, 1) ==
        std::vector<std::vector<float>>{{0.5f, 0.25f, 0.0f}, {0.0f, 0.0f, 2.0f}});
  view.head(0).mass = {0.125f, 0.0f, 1.0f};
  view.head(1).mass = {0.0f, 4.0f, 0.0f};
  CHECK(observed(policy, view, 1) ==
        std::vector<std::vector<float>>{{0.625f, 0.25f, 1.0f}, {0.0f, 4.0f, 2.0f}});
}

TEST_CASE("h2o - a survivor's sum goes on after the slots around it went") {
  Loaded plugin(built("plugins", "policy_h2o"));
  const Policy policy = plugin.policy();
  FakeView view(1, 3);
  view.head(0).mass = {1.0f, 2.0f, 4.0f};
  observed(policy, view, 1);
  FakeHead& head = view.head(0);  // slot 1 is released, slot 2 moves into it, a new one is appended
  head.pos = {0, 2, 3};
  head.state = {head.state[0], head.state[2], 0.0f};
  head.mass = {0.5f, 0.5f, 0.5f};
  CHECK(observed(policy, view, 1) == std::vector<std::vector<float>>{{1.5f, 4.5f, 0.5f}});
}

TEST_CASE("h2o - a batch is told apart by sequence") {
  Loaded plugin(built("plugins", "policy_h2o"));
  const Policy policy = plugin.policy();
  FakeView a(2, 2), b(2, 3);
  a.head(0).mass = {1.0f, 2.0f};
  b.head(1).mass = {0.0f, 0.0f, 3.0f};
  FakeKeepSet keep_a(a), keep_b(b);
  const tenure_evidence of_a = a.evidence(keep_a.face), of_b = b.evidence(keep_b.face);
  const tenure_evidence* pointers[] = {&of_a, &of_b};
  tenure_status statuses[] = {TENURE_INTERNAL, TENURE_INTERNAL};
  CHECK(policy.observe(call_in(TENURE_PHASE_DECODE), 1, pointers, statuses).ok());
  CHECK(keep_a.scores == std::vector<std::vector<float>>{{1.0f, 2.0f}, {0.0f, 0.0f}});
  CHECK(keep_b.scores == std::vector<std::vector<float>>{{0.0f, 0.0f, 0.0f}, {0.0f, 0.0f, 3.0f}});
}

TEST_CASE("random - one seed gives one set, another seed or head another") {
  Loaded plugin(built("plugins", "policy_random"));
  const Policy policy = plugin.policy();
  FakeView one(2, 200), same(2, 200), other(2, 200);
  const PolicySequence a = begun(policy, one, 7), b = begun(policy, same, 7), c = begun(policy, other, 8);
  const auto first = selected(policy, one, 1);
  CHECK(first == selected(policy, same, 1));
  CHECK(first == selected(policy, one, 1));
  const auto best = [&](const std::vector<float>& scores) {
    return positions_of_the_best(scores, one.head(0).pos, 50);
  };
  CHECK(best(first[0]) != best(first[1]));
  CHECK(best(first[0]) != best(selected(policy, other, 1)[0]));
}

TEST_CASE("random - a position keeps its score when its slot moves and when it is forked") {
  Loaded plugin(built("plugins", "policy_random"));
  const Policy policy = plugin.policy();
  FakeView view(2, 4);
  const PolicySequence parent = begun(policy, view, 7);
  const auto before = selected(policy, view, 1);
  FakeView fork = view;
  const PolicySequence child = begun(policy, fork, 99, 1);
  fork.head(0).pos = {3, 1, 2, 0};
  const auto after = selected(policy, fork, 1);
  CHECK(after[0] == std::vector<float>{before[0][3], before[0][1], before[0][2], before[0][0]});
}

TEST_CASE("random - one ranking over all layers sees the scores that single layers see") {
  Loaded plugin(built("plugins", "policy_random"));
  const Policy policy = plugin.policy();
  FakeView second(2, 9), third(3, 9), all(5, 9);  // the model's first layer has a window: never shown
  const PolicySequence a = begun(policy, second, 7), b = begun(policy, third, 7), c = begun(policy, all, 7);
  auto scores = selected(policy, second, 1);
  for (const auto& head : selected(policy, third, 2)) scores.push_back(head);
  CHECK(std::set(scores.begin(), scores.end()).size() == 5);
  CHECK(selected(policy, all, TENURE_ALL_LAYERS) == scores);
}

TEST_CASE("random - scores spread evenly over old and new positions") {
  Loaded plugin(built("plugins", "policy_random"));
  const Policy policy = plugin.policy();
  FakeView view(1, 4000);
  const PolicySequence sequence = begun(policy, view, 7);
  const auto best = positions_of_the_best(selected(policy, view, 1)[0], view.head(0).pos, 1000);
  const auto old = std::lower_bound(best.begin(), best.end(), 2000) - best.begin();
  CHECK(old > 420);  // mean 500, standard deviation 14
  CHECK(old < 580);
}

TEST_CASE("template - sums fade by decay") {
  Loaded plugin(test_plugin("policy_template"));
  const Policy policy(plugin.library, plugin.model.info(),
                      with(defaults_of(plugin.library.file()), "decay", 0.5));
  FakeView view(1, 2);
  view.head(0).mass = {4.0f, 1.0f};
  observed(policy, view, 1);
  view.head(0).mass = {0.0f, 1.0f};
  CHECK(observed(policy, view, 1) == std::vector<std::vector<float>>{{2.0f, 1.5f}});
}

// Other rooms' tests lean on these faults, so they must be what they are called.
TEST_CASE("faulty - each bad kept set breaks the rule it is named after") {
  const auto kept = [](const std::string& fault) {
    Loaded plugin(test_plugin("policy_faulty"));
    const Policy policy(plugin.library, plugin.model.info(),
                        with(defaults_of(plugin.library.file()), "fault", fault));
    FakeView view(2, 5);
    view.head(0).budget = view.head(1).budget = 3;
    FakeKeepSet keepset(view);
    const tenure_view* views[] = {view.view()};
    tenure_keepset* keepsets[] = {&keepset.face};
    tenure_status statuses[] = {TENURE_INTERNAL};
    CHECK(policy.select(call_in(TENURE_PHASE_CHUNK), 1, views, keepsets, statuses).ok());
    return std::pair{keepset.offsets, keepset.slots};
  };
  using Pair = std::pair<std::vector<uint32_t>, std::vector<uint32_t>>;
  CHECK(kept("keep_out_of_range") == Pair{{0, 3, 6}, {2, 3, 5, 2, 3, 5}});
  CHECK(kept("keep_duplicate") == Pair{{0, 3, 6}, {2, 3, 3, 2, 3, 3}});
  CHECK(kept("keep_unsorted") == Pair{{0, 3, 6}, {2, 4, 3, 2, 4, 3}});
  CHECK(kept("keep_too_many") == Pair{{0, 5, 10}, {0, 1, 2, 3, 4, 0, 1, 2, 3, 4}});
  CHECK(kept("keep_bad_offsets").first == std::vector<uint32_t>{0, 6, 3});
}

TEST_CASE("rebuild_test - asks for the released runs of its span, when its token comes") {
  Loaded plugin(test_plugin("policy_rebuild_test"));
  auto params = with(with(defaults_of(plugin.library.file()), "first", int64_t{2}), "n", int64_t{6});
  const Policy policy(plugin.library, plugin.model.info(), with(std::move(params), "trigger", int64_t{55}));
  CHECK(policy.needs().rebuild);
  FakeView view(2, 10);
  view.released() = {1, 1, 1, 1, 0, 0, 1, 1, 1, 0};
  FakeKeepSet keepset(view);
  const std::vector<int32_t> without{54, 56}, ids{54, 55};
  CHECK(policy.prepare(call_in(TENURE_PHASE_CHUNK), *view.view(), without, 10, keepset.face).ok());
  CHECK(keepset.rebuilds.empty());
  CHECK(policy.prepare(call_in(TENURE_PHASE_CHUNK), *view.view(), ids, 10, keepset.face).ok());
  CHECK(keepset.rebuilds == std::vector<std::pair<int32_t, uint32_t>>{{2, 2}, {6, 2}});
}

}  // namespace tenure::test
