#include <doctest/doctest.h>

#include <set>

#include "error/error.h"

using namespace tenure;

TEST_CASE("render - the contract's example, to the byte") {
  Diagnostic d;
  d.code = Code::unknown_key;
  d.text = "unknown key \"budgte\" in [policy.locret]";
  d.where.file = "exp.toml";
  d.where.line = 14;
  d.where.column = 1;
  d.source_line = "budgte = \"1/8\"";
  d.span = 6;
  d.help = "did you mean \"budget\"?";
  CHECK(render(d) ==
        "error[E0107]: unknown key \"budgte\" in [policy.locret]\n"
        "  --> exp.toml:14:1\n"
        "14 | budgte = \"1/8\"\n"
        "   | ^^^^^^ did you mean \"budget\"?");
}

TEST_CASE("render - without a source line the help has its own line") {
  CHECK(render(Diagnostic{.code = Code::usage, .text = "no", .help = "try"}) ==
        "error[E0501]: no\n  help: try");
  CHECK(render(Diagnostic{.code = Code::usage, .text = "no", .where = {"f", 0, 0}}) ==
        "error[E0501]: no\n  --> f");
}

TEST_CASE("render - the underline stands below the bytes it means") {
  SUBCASE("code points of several bytes before and inside it") {
    const std::string line = "k = \"äö\" é";
    const Diagnostic d{
        .code = Code::bad_value, .text = "t", .where = {"f", 1, 5}, .source_line = line, .span = 6};
    CHECK(render(d).ends_with("1 | k = \"äö\" é\n  |     ^^^^"));
  }
  SUBCASE("tabs") {
    const Diagnostic d{
        .code = Code::bad_value, .text = "t", .where = {"f", 1, 2}, .source_line = "\tx", .span = 1};
    CHECK(render(d).ends_with("\n  | \t^"));
  }
  SUBCASE("past the end of the line") {
    const Diagnostic d{
        .code = Code::bad_value, .text = "t", .where = {"f", 1, 90}, .source_line = "x", .span = 7};
    CHECK(render(d).ends_with("\n  |  ^"));
  }
}

TEST_CASE("render - foreign control characters do not reach the terminal") {
  const Diagnostic d{.code = Code::bad_value,
                     .text = "a\x1b[31mb",
                     .where = {"f", 1, 1},
                     .source_line = "x\x1by",
                     .span = 1,
                     .help = "\x07"};
  const std::string out = render(d);
  CHECK(out.find('\x1b') == std::string::npos);
  CHECK(out.find('\x07') == std::string::npos);
  CHECK(out.find("a\\x1b[31mb") != std::string::npos);
  CHECK(out.find("1 | x?y") != std::string::npos);
}

TEST_CASE("render - a huge value is cut at a whole character") {
  std::string text;
  for (int i = 0; i < 3000; ++i) text += "ä";
  const std::string out = render(Diagnostic{.code = Code::bad_value, .text = "x" + text});
  CHECK(out.size() < 4100);
  CHECK(out.ends_with("ä…"));
}

TEST_CASE("Error - carries every diagnostic and the first one's exit code") {
  const Error error(std::vector<Diagnostic>{{.code = Code::input_missing, .text = "a"},
                                            {.code = Code::usage, .text = "b"}});
  CHECK(error.exit_code() == 66);
  CHECK(error.diagnostics().size() == 2);
  CHECK(std::string(error.what()) == "error[E0301]: a\n\nerror[E0501]: b");
}

TEST_CASE("nearest - within a third of the length, swaps count once") {
  const std::vector<std::string> keys = {"budget", "budget_scope", "chunk", "when"};
  CHECK(nearest("budgte", keys) == "budget");
  CHECK(nearest("chnuk", keys) == "chunk");
  CHECK(nearest("wen", keys) == "when");
  CHECK(nearest("temperature", keys).empty());
  CHECK(nearest("bxxxet", keys).empty());
  CHECK(nearest(std::string(100'000, 'a'), keys).empty());
}

TEST_CASE("codes - every code is explained, found by number, and has a title of its own") {
  std::set<std::string_view> titles;
  int n = 0;
  for (uint16_t number = 0; number < 1000; ++number) {
    const CodeInfo* entry = find_code(number);
    if (!entry) continue;
    ++n;
    CHECK(static_cast<uint16_t>(entry->code) == number);
    CHECK(&info(entry->code) == entry);
    CHECK_FALSE(entry->explanation.empty());
    CHECK(titles.insert(entry->title).second);
  }
  CHECK(n >= 50);
  CHECK(find_code(999) == nullptr);
}
