#include <doctest/doctest.h>

#include "plan/address.h"

using namespace tenure;

using Parts = std::vector<std::string>;

TEST_CASE("split_path - dots outside quotes separate") {
  CHECK(split_path("policy.locret.budget") == Parts{"policy", "locret", "budget"});
  CHECK(split_path("policy.\"a.b\".budget") == Parts{"policy", "a.b", "budget"});
  CHECK(split_path("policy.'a.b'") == Parts{"policy", "a.b"});
  CHECK(split_path("one") == Parts{"one"});
  for (const char* bad : {"", ".", "a.", ".a", "a..b", "a.\"b", "a.\"b\"c", "\"\""}) {
    CAPTURE(bad);
    CHECK_FALSE(split_path(bad));
  }
}

TEST_CASE("to_text(Address) - the canonical spelling reads back") {
  for (const Parts& parts :
       {Parts{"policy", "a", "b"}, Parts{"policy", "a.b", "c"}, Parts{"stage", "x y", "z"}}) {
    CHECK(split_path(to_text(Address{parts})) == parts);
  }
}

TEST_CASE("assign - replaces, adds, and goes below tables") {
  auto document = parse_toml("[policy.x]\nbudget = 1\n[[stage]]\nid = \"s\"\n", "t", {});
  TomlValue five;
  five.kind = TomlValue::Kind::integer;
  five.integer = 5;
  assign(document.root, {{"policy", "x", "budget"}}, {}, five);
  assign(document.root, {{"policy", "x", "chunk"}}, {}, five);
  assign(document.root, {{"stage", "s", "map", "id"}}, {}, five);
  assign(document.root, {{"engine", "memory"}}, {}, five);
  const TomlValue& policy = document.root.find("policy")->value.find("x")->value;
  CHECK(policy.find("budget")->value.integer == 5);
  CHECK(policy.find("chunk")->value.integer == 5);
  CHECK(policy.members.size() == 2);
  CHECK(document.root.find("stage")->value.items[0].find("map")->value.find("id")->value.integer == 5);
  CHECK(document.root.find("engine")->value.find("memory")->value.integer == 5);
}
