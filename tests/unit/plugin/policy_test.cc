// The face in front of a policy: table sizes, needs, errors and exceptions.
#include "plugin/policy.h"

#include "plugin/config_values.h"
#include "unit/plugin/fake_view.h"
#include "unit/plugin/plugin_fixture.h"

namespace tenure::test {
namespace {

struct Faulty {
  explicit Faulty(const std::string& fault)
      : library(plugin_at(test_plugin("policy_faulty")), HostLoan{}),
        policy(library, model.info(), with(defaults_of(library.file()), "fault", fault)) {}
  FakeModel model;
  Library library;
  Policy policy;
};

Status selected(const Policy& policy, std::span<tenure_status> statuses) {
  FakeView view(2, 4);
  FakeKeepSet keepset(view);
  const tenure_view* views[] = {view.view(), view.view()};
  tenure_keepset* keepsets[] = {&keepset.face, &keepset.face};
  return policy.select(call_in(TENURE_PHASE_CHUNK), 1, {views, statuses.size()}, {keepsets, statuses.size()},
                       statuses);
}

}  // namespace

TEST_CASE("policy - a later minor's longer tables are read as far as we know them") {
  const FakeModel model;
  const Library library(plugin_at(test_plugin("abi_future")), HostLoan{});
  CHECK(library.agreed_minor() == 1);
  const Policy policy(library, model.info(), {});
  CHECK(policy.has_select());
  CHECK(policy.needs().mass_rows == 16);
}

TEST_CASE("policy - a shorter table ends where it says, whatever lies behind it") {
  const FakeModel model;
  const Library library(plugin_at(test_plugin("abi_short_table")), HostLoan{});
  const Policy policy(library, model.info(), {});
  CHECK_FALSE(policy.has_select());
  PolicySequence sequence;
  CHECK(policy.begin(call_in(TENURE_PHASE_CHUNK), {}, sequence).ok());
  CHECK(sequence);
  CHECK(sequence.get() == nullptr);
  tenure_status statuses[] = {TENURE_OK};
  const Status status = selected(policy, statuses);
  CHECK(status.code == TENURE_UNIMPLEMENTED);
}

TEST_CASE("policy - a missing required function and an empty head are named") {
  const FakeModel model;
  const Library missing(plugin_at(test_plugin("abi_missing_slot")), HostLoan{});
  const Diagnostic no_destroy = error_of([&] { Policy(missing, model.info(), {}); });
  CHECK(no_destroy.code == Code::plugin_abi);
  CHECK(contains(no_destroy.text, "the required function destroy is missing"));
  const Library zero(plugin_at(test_plugin("abi_zero_table")), HostLoan{});
  const Diagnostic no_head = error_of([&] { Policy(zero, model.info(), {}); });
  CHECK(no_head.code == Code::plugin_abi);
  CHECK(contains(no_head.text, "struct_size is 0"));
}

TEST_CASE("policy - needs may narrow, never widen") {
  const FakeModel model;
  const Library library(plugin_at(test_plugin("abi_needs_widens")), HostLoan{});
  const Diagnostic widened = error_of([&] { Policy(library, model.info(), {}); });
  CHECK(widened.code == Code::plugin_abi);
  CHECK(contains(widened.text, "abi_needs_widens.needs asks for more evidence"));
}

TEST_CASE("policy - an error a hook returns comes back with plugin, hook and one line") {
  FakeView view(2, 4);
  FakeKeepSet keepset(view);
  const tenure_evidence evidence = view.evidence(keepset.face);
  const tenure_evidence* pointers[] = {&evidence};
  tenure_status statuses[] = {TENURE_OK};
  PolicySequence sequence;
  const tenure_call call = call_in(TENURE_PHASE_CHUNK);
  const auto check = [](const Status& status, const std::string& hook) {
    CHECK(status.code == TENURE_INTERNAL);
    CHECK(to_text(status) == "faulty." + hook + ": INTERNAL: refused on purpose in " + hook);
  };
  check(Faulty("fail_begin").policy.begin(call, {}, sequence), "begin");
  CHECK_FALSE(sequence);
  check(Faulty("fail_prepare").policy.prepare(call, *view.view(), {}, 4, keepset.face), "prepare");
  check(Faulty("fail_observe").policy.observe(call, 1, pointers, statuses), "observe");
  check(selected(Faulty("fail_select").policy, statuses), "select");
  CHECK(
      contains(error_of([] { Faulty("fail_create"); }).text, "faulty.create: INTERNAL: refused on purpose"));
}

TEST_CASE("policy - an exception stops at the border") {
  FakeView view(2, 4);
  FakeKeepSet keepset(view);
  const tenure_evidence evidence = view.evidence(keepset.face);
  const tenure_evidence* pointers[] = {&evidence};
  tenure_status statuses[] = {TENURE_OK};
  PolicySequence sequence;
  const tenure_call call = call_in(TENURE_PHASE_CHUNK);
  const auto check = [](const Status& status, const std::string& hook) {
    CHECK(status.code == TENURE_EXCEPTION);
    CHECK(status.where == "faulty." + hook);
    CHECK(contains(status.text, "thrown on purpose in " + hook));
  };
  check(Faulty("throw_begin").policy.begin(call, {}, sequence), "begin");
  check(Faulty("throw_prepare").policy.prepare(call, *view.view(), {}, 4, keepset.face), "prepare");
  check(Faulty("throw_observe").policy.observe(call, 1, pointers, statuses), "observe");
  check(selected(Faulty("throw_select").policy, statuses), "select");
  const Diagnostic refused = error_of([] { Faulty("throw_create"); });
  CHECK(refused.code == Code::plugin_failed);
  CHECK(contains(refused.text, "EXCEPTION: an exception left the plugin: thrown on purpose in create"));
  CHECK_NOTHROW(Faulty("throw_destroy"));
}

TEST_CASE("policy - one sequence's status leaves its neighbours alone") {
  const Faulty faulty("status_of_one");
  tenure_status statuses[] = {TENURE_OK, TENURE_INTERNAL};
  CHECK(selected(faulty.policy, statuses).ok());
  CHECK(statuses[0] == TENURE_INTERNAL);
  CHECK(statuses[1] == TENURE_OK);
}

TEST_CASE("policy - what it takes from tenure.mem is given back when it goes") {
  const FakeModel model;
  const Library library(plugin_at(built("plugins", "policy_random")), HostLoan{});
  {
    const Policy policy(library, model.info(), {});
    CHECK(library.services().memory_bytes() > 0);
  }
  CHECK(library.services().memory_bytes() == 0);
  const Library poor(plugin_at(built("plugins", "policy_random")), HostLoan{.memory_allowance = 16});
  const Diagnostic refused = error_of([&] { Policy(poor, model.info(), {}); });
  CHECK(refused.code == Code::plugin_failed);
  CHECK(contains(refused.text, "random.create: OOM_HOST"));
  CHECK(poor.services().memory_bytes() == 0);
}

TEST_CASE("config values - every type arrives as the ABI names it, also after a move") {
  std::vector<ParamValue> params{
      {"b", ParamType::boolean, true},
      {"i", ParamType::integer, int64_t{-3}},
      {"f", ParamType::real, 0.5},
      {"s", ParamType::string, std::string("short")},
      {"z", ParamType::size, int64_t{4096}},
      {"d", ParamType::duration, int64_t{20}},
      {"l", ParamType::list, std::vector<ParamScalar>{std::string("x"), std::string("y")}}};
  std::vector<ParamSpec> schema;
  for (const ParamValue& param : params) schema.push_back({.name = param.name, .type = param.type});
  CHECK(error_of([&] { ConfigValues(schema, {}); }).code == Code::internal);
  ConfigValues made(schema, std::move(params));
  const ConfigValues values = std::move(made);
  const tenure_config& config = *values.config();
  REQUIRE(config.n == 7);
  CHECK(config.stride == sizeof(tenure_value));
  const tenure_value* v = config.values;
  CHECK((v[0].type == TENURE_VALUE_BOOL && v[0].i == 1));
  CHECK((v[1].type == TENURE_VALUE_INT && v[1].i == -3));
  CHECK((v[2].type == TENURE_VALUE_FLOAT && v[2].f == 0.5));
  CHECK((v[3].type == TENURE_VALUE_STRING && std::string_view(v[3].s.ptr, v[3].s.len) == "short"));
  CHECK((v[4].type == TENURE_VALUE_SIZE && v[4].i == 4096));
  CHECK((v[5].type == TENURE_VALUE_DURATION && v[5].i == 20));
  REQUIRE((v[6].type == TENURE_VALUE_LIST && v[6].n_list == 2));
  CHECK(std::string_view(v[6].list[1].s.ptr, v[6].list[1].s.len) == "y");
}

}  // namespace tenure::test
