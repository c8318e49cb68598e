#include <doctest/doctest.h>

#include "cpu_time.h"
#include "fixture.h"

using namespace tenure;
using namespace tenure::test;

namespace {

struct Bad {
  const char* name;
  std::string text;
  Code code;
  uint32_t line, column;
  std::string_view says;       // part of the text
  std::string_view help = "";  // part of the help
};

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

void check_one(const Bad& bad, const PlanOptions& o = options()) {
  CAPTURE(bad.name);
  CAPTURE(bad.text);
  const auto found = findings(bad.text, o);
  std::string rendered = render(found);
  CAPTURE(rendered);
  REQUIRE(found.size() == 1);
  CHECK(info(found[0].code).title == info(bad.code).title);
  CHECK(found[0].where.file == "exp.toml");
  CHECK(found[0].where.line == bad.line);
  CHECK(found[0].where.column == bad.column);
  CHECK(found[0].text.find(bad.says) != std::string::npos);
  CHECK(found[0].help.find(bad.help) != std::string::npos);
}

}  // namespace

TEST_CASE("bad plans - unknown keys and sections, each with place and suggestion") {
  const Bad rows[] = {
      {"host key", replaced(with_policy, "budget =", "budgte ="), Code::unknown_key, 15, 1,
       "unknown key \"budgte\" in [policy.lo]", "did you mean \"budget\"?"},
      {"plugin key", with_policy + "wieghts = \"a\"\n", Code::unknown_key, 16, 1, "\"wieghts\"",
       "did you mean \"weights\"?"},
      {"section", small + "[enigne]\n", Code::unknown_section, 12, 2, "unknown section [enigne]",
       "did you mean \"engine\"?"},
      {"top key", "tenrue = 2\n" + small, Code::unknown_key, 1, 1, "unknown key \"tenrue\"",
       "did you mean \"tenure\"?"},
      {"stage key", small + "max_new_token = 3\n", Code::unknown_key, 12, 1, "in stage \"out\"",
       "did you mean \"max_new_tokens\"?"},
      {"engine key", small + "[engine]\nmemroy = 1\n", Code::unknown_key, 13, 1, "[engine]",
       "did you mean \"memory\"?"},
      {"backend key", small + "[backend]\nthread = 1\n", Code::unknown_key, 13, 1, "[backend]",
       "did you mean \"threads\"?"},
      {"run key", small + "[run]\nretry = 1\n", Code::unknown_key, 13, 1, "[run]", "retries"},
      {"model key", replaced(small, "path = \"m.gguf\"", "path = \"m.gguf\"\nfile = 1"), Code::unknown_key, 4,
       1, "[model]"},
      {"alert key", small + "[[alert]]\nstage = \"out\"\nmetric = \"rebuilt\"\nmax = 1\nwindows = 5\n", Code::unknown_key,
       16, 1, "[[alert]] 1", "did you mean \"window\"?"},
      {"an alert on a figure of the finished row", small + "[[alert]]\nstage = \"out\"\nmetric = \"exact_match\"\nmax = 1\n",
       Code::bad_alert, 14, 10, "no metric of an alert"},
      {"a stage of no kind", small + "[[stage]]\nid = \"d\"\nkind = \"compares\"\n", Code::bad_value,
       14, 8, "wanted one of \"read_jsonl\", \"read_text\", \"generate\", \"score\", \"compare\", \"write_jsonl\""},
      {"inner is neither a section nor a plugin", with_policy + "inner = \"x\"\n", Code::plugin_not_found, 16, 9, "\"x\""},
      {"debug keys do not exist yet", with_policy + "debug.regret = true\n", Code::unknown_key, 16, 1,
       "\"debug\""},
      {"a type of weights only", with_policy + "kv_type = \"q5_0\"\n", Code::bad_value, 16, 11,
       "wanted one of \"f32\", \"f16\", \"bf16\", \"q8_0\", \"q4\""},
  };
  for (const Bad& row : rows) check_one(row);
}

TEST_CASE("bad plans - the message of the contract, to the byte") {
  const auto found = findings(replaced(with_policy, "budget =", "budgte ="));
  REQUIRE(found.size() == 1);
  CHECK(render(found[0]) ==
        "error[E0107]: unknown key \"budgte\" in [policy.lo]\n"
        "  --> exp.toml:15:1\n"
        "15 | budgte = \"1/8\"\n"
        "   | ^^^^^^ did you mean \"budget\"?  (host keys: plugin, chunk, budget, budget_scope, "
        "budget_floor, budget_of, "
        "kv_type, k_type, v_type, positions, when, period, slack, n_sink, n_recent, n_stabilizers, n_local, "
        "query_prefix, inner, on_plugin_error; keys of policy \"locret\" 1.0: weights, decode_scoring)");
}

TEST_CASE("bad plans - types and ranges") {
  const auto policy = [](const std::string& line) { return with_policy + line + "\n"; };
  const auto budget = [](const std::string& value) { return replaced(with_policy, "\"1/8\"", value); };
  const Bad rows[] = {
      {"budget 0", budget("0"), Code::out_of_range, 15, 10, "is 0; allowed: at least 1 slot"},
      {"budget negative", budget("-4"), Code::out_of_range, 15, 10, "is -4"},
      {"budget 0 bytes", budget("\"0 MiB\""), Code::out_of_range, 15, 10, "more than 0 bytes"},
      {"budget 0/8", budget("\"0/8\""), Code::out_of_range, 15, 10, "above 0 and at most 1"},
      {"budget 9/8", budget("\"9/8\""), Code::out_of_range, 15, 10, "above 0 and at most 1"},
      {"budget float", budget("0.5"), Code::wrong_type, 15, 10, "is a float"},
      {"budget words", budget("\"half\""), Code::bad_value, 15, 10, "a fraction of the request's tokens"},
      {"chunk 0", policy("chunk = 0"), Code::out_of_range, 16, 9, "is 0"},
      {"n_sink negative", policy("n_sink = -1"), Code::out_of_range, 16, 10, "is -1"},
      {"n_recent 3/2", policy("n_recent = \"3/2\""), Code::out_of_range, 16, 12, "at most 1"},
      {"floor", policy("budget_floor = 1.5"), Code::out_of_range, 16, 16, "a number from 0 to 1"},
      {"scope", policy("budget_scope = \"haed\""), Code::bad_value, 16, 16, "is \"haed\"",
       "did you mean \"head\"?"},
      {"when", policy("when = [\"chunk\", 3]"), Code::wrong_type, 16, 18, "is an integer"},
      {"plugin's enum", policy("decode_scoring = \"lsat\""), Code::bad_value, 16, 18, "is \"lsat\"",
       "did you mean \"last\"?"},
      {"threads", small + "[backend]\nthreads = -1\n", Code::out_of_range, 13, 11, "is -1"},
      {"memory", small + "[engine]\nmemory = \"4 GiBs\"\n", Code::bad_value, 13, 10, "wanted a size such as"},
      {"memory 0", small + "[engine]\nmemory = 0\n", Code::out_of_range, 13, 10, "more than 0 bytes"},
      {"duration", small + "[run]\ntime_limit = 5\n", Code::wrong_type, 13, 14, "a duration such as"},
      {"sync", small + "[run]\nsync = \"recrod\"\n", Code::bad_value, 13, 8, "\"record\", \"none\"",
       "did you mean \"record\"?"},
      {"sync 0", small + "[run]\nsync = \"0s\"\n", Code::out_of_range, 13, 8, "more than 0"},
      {"max_errors share", small + "[run]\nmax_errors = 1.5\n", Code::out_of_range, 13, 14, "is 1.5"},
      {"max_errors count", small + "[run]\nmax_errors = -1\n", Code::out_of_range, 13, 14, "is -1"},
      {"top_p", small + "top_p = 2\n", Code::out_of_range, 12, 9, "is 2"},
      {"nan", small + "temperature = nan\n", Code::out_of_range, 12, 15, "is nan"},
      {"samples 0", small + "samples = 0\n", Code::out_of_range, 12, 11, "is 0"},
      {"chat", small + "chat = 1\n", Code::wrong_type, 12, 8, "true or false"},
      {"stop", small + "stop = [\"a\", 2]\n", Code::wrong_type, 12, 14, "holds an integer"},
      {"path list", replaced(small, "\"p.jsonl\"", "[]"), Code::out_of_range, 7, 8, "an empty list"},
      {"schema", replaced(small, "tenure = 1", "tenure = 2"), Code::out_of_range, 1, 10, "is 2"},
      {"section as value", "engine = 3\n" + small, Code::wrong_type, 1, 10, "wanted a section [engine]"},
      {"template", replaced(small, "path = \"p.jsonl\"", "path = \"p\"\ntemplate = \"a {b\""),
       Code::bad_value, 8, 12, "an open \"{\""},
      {"split 0", small + "[[stage]]\nid = \"t\"\nkind = \"read_text\"\npath = \"x\"\nsplit = 0\n",
       Code::out_of_range, 16, 9, "a size such as"},
      {"split of lines", replaced(small, "path = \"p.jsonl\"", "path = \"p\"\nsplit = 9"), Code::unknown_key, 8, 1,
       "unknown key \"split\""},
      {"map", replaced(small, "path = \"p.jsonl\"", "path = \"p\"\nmap = { ID = \"x\" }"), Code::unknown_key,
       8, 9, "\"ID\""},
      {"output outside",
       small + "[[stage]]\nid = \"w\"\nkind = \"write_jsonl\"\nfrom = \"out\"\npath = \"../x\"\n",
       Code::bad_value, 16, 8, "inside the run directory"},
      {"a view among the logits, which go",
       small + "[[stage]]\nid = \"w\"\nkind = \"write_jsonl\"\nfrom = \"out\"\npath = \"logits/x\"\n",
       Code::bad_value, 16, 8, "inside the run directory"},
      {"output taken",
       small + "[[stage]]\nid = \"w\"\nkind = \"write_jsonl\"\nfrom = \"out\"\npath = \"./results.jsonl\"\n",
       Code::bad_value, 16, 8, "does not write itself"},
      {"field",
       small + "[[stage]]\nid = \"w\"\nkind = \"write_jsonl\"\nfrom = \"out\"\npath = \"x\"\nfields = "
               "[\"peak_bytes\"]\n",
       Code::bad_value, 17, 10, "no field of a row", "did you mean \"kv.peak_bytes\"?"},
  };
  for (const Bad& row : rows) check_one(row);
}

TEST_CASE("bad plans - what is missing or does not go together") {
  const Bad rows[] = {
      {"no schema", replaced(small, "tenure = 1\n", ""), Code::missing_key, 1, 1, "missing key \"tenure\""},
      {"no model", replaced(small, "[model]\npath = \"m.gguf\"\n", ""), Code::missing_key, 1, 1,
       "missing section [model]"},
      {"no model path", replaced(small, "path = \"m.gguf\"\n", ""), Code::missing_key, 2, 1,
       "missing key \"path\" in [model]"},
      {"no from", replaced(small, "from = \"prompts\"\n", ""), Code::missing_key, 8, 1,
       "missing key \"from\" in stage \"out\""},
      {"no id", replaced(small, "id = \"prompts\"\n", "") + "", Code::missing_key, 4, 1,
       "missing key \"id\""},
      {"no budget", replaced(with_policy, "budget = \"1/8\"\n", ""), Code::budget_needed, 14, 10,
       "[policy.lo] needs a budget", "\"24 MiB\""},
      {"nothing runs",
       "tenure = 1\n[model]\npath = \"m\"\n[[stage]]\nid = \"a\"\nkind = \"read_text\"\npath = \"x\"\n",
       Code::missing_key, 4, 1, "nothing would run"},
      {"unknown policy", small + "policy = \"lo\"\n[policy.l0]\nplugin = \"full\"\n", Code::unknown_reference,
       12, 10, "there is no [policy.lo]", "did you mean \"l0\"?"},
      {"positions", replaced(with_policy, "locret", "sinks") + "positions = \"original\"\n",
       Code::unsupported_combination, 16, 13, "its manifest says \"rank\""},
      {"auto needs both", replaced(with_policy, "locret", "sinks") + "positions = \"auto\"\n",
       Code::unsupported_combination, 16, 13, "\"auto\""},
      {"when", replaced(with_policy, "locret", "sinks") + "when = [\"chunk\", \"decode\"]\n",
       Code::unsupported_combination, 16, 8, "does not select at \"chunk\""},
      {"no such plugin", replaced(with_policy, "locret", "lockret"), Code::plugin_not_found, 14, 10,
       "no policy plugin \"lockret\""},
      {"a backend is no policy", replaced(with_policy, "locret", "cpu"), Code::plugin_not_found, 14, 10,
       "no policy plugin \"cpu\""},
      {"stdin among files", replaced(small, "\"p.jsonl\"", "[\"-\", \"a\"]"), Code::unsupported_combination,
       7, 8, "one of several files"},
      {"two sources", replaced(small, "from = \"prompts\"", "from = [\"prompts\", \"prompts\"]"),
       Code::out_of_range, 11, 8, "one stage"},
      {"stage id", replaced(small, "\"out\"", "\"o.t\""), Code::bad_value, 9, 6, "letters, digits"},
  };
  for (const Bad& row : rows) {
    if (std::string_view(row.name) == "no id") {
      // The stage that takes from it dangles as well.
      const auto found = findings(row.text);
      REQUIRE(found.size() == 2);
      CHECK(found[0].code == row.code);
      CHECK(found[0].where.line == 4);
      CHECK(found[1].code == Code::unknown_reference);
    } else {
      check_one(row);
    }
  }
}

TEST_CASE("bad plans - the stages as a graph: both ends are named") {
  const std::string chain =
      "tenure = 1\n[model]\npath = \"m\"\n"
      "[[stage]]\nid = \"a\"\nkind = \"generate\"\nfrom = \"b\"\n"
      "[[stage]]\nid = \"b\"\nkind = \"generate\"\nfrom = \"c\"\n"
      "[[stage]]\nid = \"c\"\nkind = \"generate\"\nfrom = \"a\"\n";
  const Bad rows[] = {
      {"cycle of three", chain, Code::graph_cycle, 7, 8, "a → c → b → a"},
      {"cycle of one", replaced(small, "from = \"prompts\"", "from = \"out\""), Code::graph_cycle, 11, 8,
       "out → out"},
      {"dangling", replaced(small, "from = \"prompts\"", "from = \"promts\""), Code::unknown_reference, 11, 8,
       "stage \"out\" takes from \"promts\"", "did you mean \"prompts\"?"},
      {"rows into a generate", small + "[[stage]]\nid = \"more\"\nkind = \"score\"\nfrom = \"out\"\n",
       Code::port_mismatch, 15, 8,
       "stage \"more\" (score) takes requests, but stage \"out\" (generate) gives rows"},
      {"requests into a writer",
       small + "[[stage]]\nid = \"w\"\nkind = \"write_jsonl\"\npath = \"x\"\nfrom = [\"out\", \"prompts\"]\n",
       Code::port_mismatch, 16, 16,
       "stage \"w\" (write_jsonl) takes rows, but stage \"prompts\" (read_jsonl) gives requests"},
      {"duplicate id", small + "[[stage]]\nid = \"out\"\nkind = \"score\"\nfrom = \"prompts\"\n",
       Code::duplicate_id, 13, 6, "two stages named \"out\""},
      {"a reader takes nothing", replaced(small, "path = \"p.jsonl\"", "path = \"p\"\nfrom = \"out\""),
       Code::unknown_key, 8, 1, "unknown key \"from\" in stage \"prompts\""},
  };
  for (const Bad& row : rows) check_one(row);
}

TEST_CASE("bad plans - unset variables: one error lists all with their places") {
  const auto found = findings(replaced(small, "m.gguf", "${MODELS}/m.gguf") +
                              "stop = [\"a\", \"ö ${END}\", \"${MODELS}\"]\n");
  REQUIRE(found.size() == 1);
  CHECK(found[0].code == Code::unset_variable);
  CHECK(found[0].text == "unset variables: MODELS (3:9), END (12:18), MODELS (12:28)");
  CHECK(found[0].where.line == 3);
  CHECK(found[0].where.column == 9);
  CHECK(found[0].span == 8);
  check_one({"no name", small + "stop = \"${a b}\"\n", Code::bad_value, 12, 9, "does not name a variable"});
}

TEST_CASE("bad plans - everything wrong is shown at once, in the order of the text, once") {
  const auto found = findings(
      "tenure = 1\n[model]\npaht = \"m\"\n[engine]\nmemory = -1\n[policy.lo]\nplugin = \"locret\"\nbudget = "
      "0\nchunk = \"x\"\n"
      "[[stage]]\nid = \"out\"\nkind = \"generate\"\nfrom = \"nowhere\"\npolicy = \"lo\"\nseed = "
      "-1\n[[gate]]\nstage = \"out\"\n"
      "metric = \"exact_mach\"\nmin = 1\n[matrix]\n\"stage.out.top_k\" = [1, 2, 3]\n");
  std::vector<uint32_t> lines;
  for (const Diagnostic& d : found) lines.push_back(d.where.line);
  CHECK(lines == std::vector<uint32_t>{2, 3, 5, 8, 9, 13, 15, 18});
}

TEST_CASE("bad plans - thousands of findings are cut and counted") {
  CHECK(takes_linear_time(40'000, [](size_t n) {
    std::string text = small;
    for (size_t i = 0; i < n; ++i) text += "k" + std::to_string(i) + " = 1\n";
    const auto found = findings(text);
    CHECK(found.size() <= 101);
    CHECK(found.size() >= 100);
  }));
}

TEST_CASE("bad plans - syntax, encoding and size come before everything, as 78 with a place") {
  const auto at = [](const std::string& text) {
    const auto found = findings(text);
    REQUIRE(found.size() == 1);
    CHECK(info(found[0].code).exit_code == 78);
    return std::pair(found[0].where.line, found[0].where.column);
  };
  CHECK(at(small + "max_new_tokens = = 3\n") == std::pair(12u, 18u));
  CHECK(at(small + "stop = \"\xff\"\n") == std::pair(12u, 9u));
  CHECK(at(small + std::string("stop\0", 5)) == std::pair(12u, 5u));
}

TEST_CASE("bad plans - a lookup that throws is shown with the rest") {
  PlanOptions o = options();
  o.manifests = [](std::string_view, PluginKind) -> const PluginManifest* {
    throw Error(Diagnostic{.code = Code::plugin_manifest, .text = "broken", .where = {"cpu.toml", 3, 1}});
  };
  const auto found = findings(small + "[engine]\nmemroy = 1\n", o);
  REQUIRE(found.size() == 2);
  CHECK(found[0].text == "broken");
  CHECK(found[1].code == Code::unknown_key);
}

TEST_CASE("bad plans - a --set argument is quoted as the place of its mistake") {
  struct Row {
    const char* set;
    Code code;
    uint32_t column;
    const char *says, *help;
  };
  const Row rows[] = {
      {"policy.lo.budgte=1/4", Code::unknown_key, 18, "\"budgte\" in [policy.lo]",
       "did you mean \"budget\"?"},
      {"policy.l0.budget=1/4", Code::matrix_bad_key, 1, "addresses no policy \"l0\"", "did you mean \"lo\"?"},
      {"stage.ot.seed=1", Code::matrix_bad_key, 1, "addresses no stage \"ot\"", "did you mean \"out\"?"},
      {"polcy.lo.budget=1", Code::matrix_bad_key, 1, "no section \"polcy\"", "did you mean \"policy\"?"},
      {"stage.out.id=x", Code::matrix_bad_key, 1, "names the stage itself", ""},
      {"engine=1", Code::matrix_bad_key, 1, "a section, not a value", ""},
      {"policy.lo.budget", Code::bad_value, 1, "is not KEY=VALUE", ""},
      {"policy.lo.budget=0", Code::out_of_range, 18, "is 0", ""},
      {"policy.lo.budget.deep=0", Code::wrong_type, 23, "is a table", ""},
      {"policy..budget=0", Code::matrix_bad_key, 1, "not a dotted path", ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.set);
    PlanOptions o = options();
    o.set = {row.set};
    const auto found = findings(with_policy, o);
    const std::string rendered = render(found);
    CAPTURE(rendered);
    REQUIRE(found.size() == 1);
    CHECK(found[0].code == row.code);
    CHECK(found[0].where.file == "--set");
    CHECK(found[0].where.column == row.column);
    CHECK(found[0].source_line == row.set);
    CHECK(found[0].text.find(row.says) != std::string::npos);
    CHECK(found[0].help.find(row.help) != std::string::npos);
  }
}
