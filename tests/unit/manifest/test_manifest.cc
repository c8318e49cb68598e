#include <doctest/doctest.h>

#include "error/error.h"
#include "manifest/manifest.h"

using namespace tenure;

namespace {

// Every section a manifest may have.
const std::string good = R"(manifest = 1
id = "mine"
kind = "policy"
version = "1.2.0"
vendor = "Example"
license = "Apache-2.0"
summary = "one line for plugin list"
[abi]
major = 1
built = 1
min = 1
[binary]
os = "linux"
arch = "x86_64"
sha256 = ""
[needs]
evidence = ["k_post", "attention_mass"]
location = "host"
granularity = "kv_head"
rebuild = false
phases = ["chunk", "decode"]
positions = ["original", "rank"]
state_bytes_per_sequence = 16
state_floats_per_slot = 2
state_floats_per_token = 3
concurrency = "per-sequence"
[defaults]
n_sink = 4
n_stabilizers = "1/4"
budget_scope = "layer"
[[param]]
name = "alpha"
type = "float"
default = 0.2
min = 0.0
max = 1.0
doc = "share of each head's budget that stays its own"
)";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

std::vector<Diagnostic> findings(const std::string& text) {
  try {
    parse_manifest(text, "m.toml");
  } catch (const Error& error) {
    CHECK(error.exit_code() == 69);
    return error.diagnostics();
  }
  return {};
}

}  // namespace

TEST_CASE("manifest - the contract's example, every field") {
  const PluginManifest m = parse_manifest(good, "m.toml");
  CHECK(m.file == "m.toml");
  CHECK(m.id == "mine");
  CHECK(m.kind == PluginKind::policy);
  CHECK(m.version == "1.2.0");
  CHECK(m.vendor == "Example");
  CHECK(m.license == "Apache-2.0");
  CHECK(m.summary == "one line for plugin list");
  CHECK(m.abi_major == 1);
  CHECK(m.abi_built == 1);
  CHECK(m.abi_min == 1);
  CHECK(m.os == "linux");
  CHECK(m.arch == "x86_64");
  CHECK(m.sha256.empty());
  CHECK(m.needs.evidence == std::vector{Evidence::k_post, Evidence::attention_mass});
  CHECK(m.needs.location == Location::host);
  CHECK(m.needs.granularity == Granularity::kv_head);
  CHECK_FALSE(m.needs.rebuild);
  CHECK(m.needs.phases == std::vector{Phase::chunk, Phase::decode});
  CHECK(m.needs.positions == std::vector{PositionMode::original, PositionMode::rank});
  CHECK(m.needs.state_bytes_per_sequence == 16);
  CHECK(m.needs.state_floats_per_slot == 2);
  CHECK(m.needs.state_floats_per_token == 3);
  CHECK(m.needs.concurrency == Concurrency::per_sequence);
  CHECK(m.defaults.n_sink == SlotShare{false, 4, {}});
  CHECK(m.defaults.n_stabilizers == SlotShare{true, 0, {1, 4}});
  CHECK(m.defaults.budget_scope == BudgetScope::layer);
  CHECK_FALSE(m.defaults.chunk.has_value());
  REQUIRE(m.params.size() == 1);
  CHECK(m.params[0].name == "alpha");
  CHECK(m.params[0].type == ParamType::real);
  CHECK(m.params[0].default_value->value == decltype(ParamValue::value)(0.2));
  CHECK(m.params[0].max == 1.0);
}

TEST_CASE("manifest - a policy takes one file of weights, a backend none") {
  const std::string weights = "[[param]]\nname = \"w\"\ntype = \"weights\"\ndefault = \"builtin:small\"\n";
  const PluginManifest m = parse_manifest(good + weights, "m.toml");
  CHECK(m.params.back().type == ParamType::weights);
  CHECK(m.params.back().default_value->value == decltype(ParamValue::value)(std::string("builtin:small")));
  const std::vector<Diagnostic> twice = findings(good + weights + replaced(weights, "\"w\"", "\"v\""));
  REQUIRE(twice.size() == 1);
  CHECK(twice[0].text.find("one file of weights") != std::string::npos);
  const std::string backend =
      "manifest = 1\nid = \"mine\"\nkind = \"backend\"\nversion = \"1\"\n[abi]\nmajor = 1\nbuilt = 1\nmin = 1\n"
      "[binary]\nos = \"linux\"\narch = \"x86_64\"\n";
  CHECK(findings(backend).empty());
  CHECK(findings(backend + weights).size() == 1);
}

TEST_CASE("manifest - chunk_invariant is a promise that must be made") {
  const std::string needs =
      "manifest = 1\nid = \"mine\"\nkind = \"policy\"\nversion = \"1\"\n[abi]\nmajor = 1\nbuilt = 1\nmin = 1\n"
      "[binary]\nos = \"linux\"\narch = \"x86_64\"\n[needs]\n";
  CHECK_FALSE(parse_manifest(needs, "m").needs.chunk_invariant);
  CHECK(parse_manifest(needs + "chunk_invariant = true\n", "m").needs.chunk_invariant);
  CHECK(findings(needs + "chunk_invariant = 1\n").size() == 1);
}

TEST_CASE("manifest - what is wrong is said at its place, as a plugin's fault") {
  struct Row {
    const char *from, *to, *text;
    uint32_t line, column;
  };
  const Row rows[] = {
      {"vendor =", "vendr =", "unknown key \"vendr\"", 5, 1},
      {"manifest = 1", "manifest = 2", "allowed: an integer from 1 to 1", 1, 12},
      {"kind = \"policy\"", "kind = \"polcy\"", "wanted one of \"policy\", \"backend\"", 3, 8},
      {"id = \"mine\"", "id = \"Mine!\"", "lower-case letters", 2, 6},
      {"version = \"1.2.0\"", "version = 1", "wanted a string", 4, 11},
      {"min = 1\n", "min = 2\n", "allowed: at most `built`", 11, 7},
      {"sha256 = \"\"", "sha256 = \"12\"", "64 lower-case hex digits", 15, 10},
      {"\"k_post\"", "\"k_pos\"", "wanted one of", 17, 13},
      {"\"decode\"", "\"never\"", "wanted one of", 21, 20},
      {"\"rank\"]", "\"auto\"]", "\"original\", \"rank\" or both", 22, 13},
      {"state_floats_per_slot = 2", "state_floats_per_slot = -2", "is -2", 24, 25},
      {"budget_scope = \"layer\"", "budgt_scope = \"layer\"", "unknown key \"budgt_scope\" in [defaults]", 30,
       1},
      {"n_sink = 4", "n_sink = \"5/4\"", "is 5/4", 28, 10},
      {"name = \"alpha\"", "name = \"chunk\"", "has the name of a host key", 32, 8},
      {"default = 0.2", "default = 1.5", "is 1.5; allowed: 0 to 1", 34, 11},
      {"min = 0.0", "minimum = 0.0", "unknown key \"minimum\"", 35, 1},
      {"type = \"float\"", "type = \"double\"", "is \"double\"", 33, 8},
      {"version = \"1.2.0\"\n", "", "missing key \"version\"", 1, 1},
  };
  for (const Row& row : rows) {
    CAPTURE(row.from);
    const auto found = findings(replaced(good, row.from, row.to));
    REQUIRE(found.size() == 1);
    CAPTURE(found[0].text);
    CHECK(found[0].code == Code::plugin_manifest);
    CHECK(found[0].text.find(row.text) != std::string::npos);
    CHECK(found[0].where.line == row.line);
    CHECK(found[0].where.column == row.column);
  }
}

TEST_CASE("manifest - all findings at once, with suggestions, and syntax errors too") {
  const auto two = findings(replaced(replaced(good, "vendor", "vendr"), "summary", "sumary"));
  REQUIRE(two.size() == 2);
  CHECK(two[0].help.find("did you mean \"vendor\"?") != std::string::npos);
  CHECK(two[1].help.find("did you mean \"summary\"?") != std::string::npos);
  const auto syntax = findings("manifest = = 1");
  REQUIRE(syntax.size() == 1);
  CHECK(syntax[0].code == Code::plugin_manifest);
  CHECK(syntax[0].where.line == 1);
}

TEST_CASE("manifest - a backend has no policy sections") {
  const std::string backend =
      "manifest = 1\nid = \"cpu\"\nkind = \"backend\"\nversion = \"1\"\n[abi]\nmajor = 1\nbuilt = 1\nmin = "
      "1\n"
      "[binary]\nos = \"linux\"\narch = \"x86_64\"\n";
  CHECK(parse_manifest(backend, "m").kind == PluginKind::backend);
  CHECK(findings(backend + "[defaults]\nchunk = 1\n").size() == 1);
  CHECK(findings(backend + "[needs]\nphases = []\n").size() == 1);
  CHECK(findings(backend + "[[param]]\nname = \"threads\"\ntype = \"int\"\ndefault = 1\n").size() == 1);
}

TEST_CASE("manifest - two parameters of one name are refused") {
  CHECK(findings(good + "[[param]]\nname = \"alpha\"\ntype = \"int\"\ndefault = 1\n").size() == 1);
  CHECK(findings(good + "[[param]]\nname = \"beta\"\ntype = \"int\"\ndefault = 1\n").empty());
}
