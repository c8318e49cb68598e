#include <doctest/doctest.h>

#include "manifest/manifest.h"
#include "manifest/params.h"
#include "manifest/table_reader.h"

using namespace tenure;

namespace {

using Value = decltype(ParamValue::value);

const std::string head =
    "manifest = 1\nid = \"p\"\nkind = \"policy\"\nversion = \"1\"\n[abi]\nmajor = 1\nbuilt = 1\nmin = "
    "1\n[binary]\nos = "
    "\"linux\"\narch = \"x86_64\"\n";

std::vector<ParamSpec> schema_of(const std::string& params) {
  return parse_manifest(head + params, "m.toml").params;
}

const std::string all_types = R"(
[[param]]
name = "flag"
type = "bool"
default = true
[[param]]
name = "count"
type = "int"
default = 3
min = 1
max = 9
[[param]]
name = "rate"
type = "float"
default = 0.5
min = 0
max = 1
[[param]]
name = "word"
type = "string"
default = ""
[[param]]
name = "mode"
type = "enum"
values = ["fast", "slow"]
default = "fast"
[[param]]
name = "weights"
type = "weights"
default = "builtin"
[[param]]
name = "layers"
type = "list"
default = [1, 2]
min = 0
[[param]]
name = "room"
type = "size"
default = "1 MiB"
max = "2 MiB"
[[param]]
name = "wait"
type = "duration"
default = "20 ms"
min = "1 ms"
)";

struct Outcome {
  std::vector<ParamValue> values;
  std::vector<Diagnostic> findings;
};

Outcome check(const std::string& schema, const std::string& table) {
  const auto specs = schema_of(schema);
  const auto document = parse_toml(table, "p.toml", "/folder");
  Findings findings;
  TableReader reader(document.root, "[policy.x]", findings);
  Outcome outcome{validate(specs, reader), {}};
  reader.finish();
  try {
    findings.throw_if_any();
  } catch (const Error& error) {
    outcome.findings = error.diagnostics();
  }
  return outcome;
}

Value one(const std::string& table, size_t index) {
  const Outcome outcome = check(all_types, table);
  REQUIRE(outcome.findings.empty());
  REQUIRE(outcome.values.size() == 9);
  return outcome.values[index].value;
}

}  // namespace

TEST_CASE("params - an empty table gives every default in schema order") {
  const Outcome outcome = check(all_types, "");
  CHECK(outcome.findings.empty());
  std::vector<std::string> names, texts;
  for (const ParamValue& value : outcome.values) {
    names.push_back(value.name);
    texts.push_back(to_text(value));
  }
  CHECK(names == std::vector<std::string>{"flag", "count", "rate", "word", "mode", "weights", "layers",
                                          "room", "wait"});
  CHECK(texts ==
        std::vector<std::string>{"true", "3", "0.5", "", "fast", "builtin", "[1, 2]", "1 MiB", "20 ms"});
}

TEST_CASE("params - given values of each type, converted") {
  CHECK(one("flag = false", 0) == Value(false));
  CHECK(one("count = 9", 1) == Value(int64_t{9}));
  CHECK(one("rate = 1", 2) == Value(1.0));
  CHECK(one("word = \"w\"", 3) == Value(std::string("w")));
  CHECK(one("mode = \"slow\"", 4) == Value(std::string("slow")));
  CHECK(one("weights = \"w/../a.gguf\"", 5) == Value(std::string("/folder/a.gguf")));
  CHECK(one("weights = \"/abs\"", 5) == Value(std::string("/abs")));
  CHECK(one("weights = \"builtin:small\"", 5) == Value(std::string("builtin:small")));
  CHECK(one("layers = [5]", 6) == Value(std::vector<ParamScalar>{int64_t{5}}));
  CHECK(one("layers = []", 6) == Value(std::vector<ParamScalar>{}));
  CHECK(one("room = \"2 MiB\"", 7) == Value(int64_t{2 << 20}));
  CHECK(one("wait = \"1 s\"", 8) == Value(int64_t{1'000'000'000}));
}

TEST_CASE("params - wrong values are named with place and what is allowed") {
  struct Row {
    const char *table, *text;
    Code code;
    uint32_t column;
  };
  const Row rows[] = {
      {"flag = 1", "wanted true or false", Code::wrong_type, 8},
      {"count = 0", "is 0; allowed: 1 to 9", Code::out_of_range, 9},
      {"count = 1.0", "wanted an integer", Code::wrong_type, 9},
      {"rate = nan", "allowed: a finite number", Code::out_of_range, 8},
      {"rate = 1.01", "is 1.01; allowed: 0 to 1", Code::out_of_range, 8},
      {"rate = \"x\"", "wanted a number", Code::wrong_type, 8},
      {"mode = \"slwo\"", "wanted one of \"fast\", \"slow\"", Code::bad_value, 8},
      {"weights = \"\"", "is empty", Code::out_of_range, 11},
      {"layers = [1, \"a\"]", "mixes types", Code::wrong_type, 14},
      {"layers = [\"a\"]", "mixes types", Code::wrong_type, 11},
      {"layers = [-1]", "allowed: at least 0", Code::out_of_range, 10},
      {"layers = [[1]]", "holds a list", Code::wrong_type, 11},
      {"room = \"3 MiB\"", "is 3 MiB; allowed: at most 2 MiB", Code::out_of_range, 8},
      {"room = \"3\"", "wanted a size", Code::bad_value, 8},
      {"wait = \"1 us\"", "allowed: at least 1 ms", Code::out_of_range, 8},
      {"wait = 5", "wanted a duration", Code::wrong_type, 8},
      {"cuont = 5", "unknown key \"cuont\" in [policy.x]", Code::unknown_key, 1},
  };
  for (const Row& row : rows) {
    CAPTURE(row.table);
    const Outcome outcome = check(all_types, row.table);
    REQUIRE(outcome.findings.size() == 1);
    CAPTURE(outcome.findings[0].text);
    CHECK(outcome.findings[0].code == row.code);
    CHECK(outcome.findings[0].text.find(row.text) != std::string::npos);
    CHECK(outcome.findings[0].where.line == 1);
    CHECK(outcome.findings[0].where.column == row.column);
  }
}

TEST_CASE("params - one without default must be given") {
  const std::string schema = "[[param]]\nname = \"must\"\ntype = \"int\"\ndoc = \"how many\"\n";
  const Outcome outcome = check(schema, "");
  REQUIRE(outcome.findings.size() == 1);
  CHECK(outcome.findings[0].code == Code::missing_key);
  CHECK(outcome.findings[0].text == "missing key \"must\" in [policy.x]: how many");
  CHECK(check(schema, "must = 1").values.size() == 1);
}
