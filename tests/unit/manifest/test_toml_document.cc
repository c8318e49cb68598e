#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "cpu_time.h"
#include "manifest/toml_document.h"

using namespace tenure;

namespace {

TomlDocument parse(const std::string& text) {
  return parse_toml(text, "t.toml", "/folder");
}

Diagnostic refusal(const std::string& text) {
  try {
    parse(text);
  } catch (const Error& error) {
    REQUIRE(error.exit_code() == 78);
    return error.diagnostics().front();
  }
  FAIL("was accepted");
  return {};
}

void check_refusal(const std::string& text, Code code, uint32_t line, uint32_t column) {
  const Diagnostic d = refusal(text);
  CAPTURE(text.substr(0, 200));
  CAPTURE(d.text);
  CHECK(info(d.code).title == info(code).title);
  CHECK(d.where.line == line);
  CHECK(d.where.column == column);
}

std::string repeated(const std::string& s, size_t n) {
  std::string out;
  for (size_t i = 0; i < n; ++i) out += s;
  return out;
}

const TomlValue& at(const TomlDocument& document, std::initializer_list<const char*> path) {
  const TomlValue* value = &document.root;
  for (const char* key : path) {
    const TomlMember* member = value->find(key);
    REQUIRE(member);
    value = &member->value;
  }
  return *value;
}

std::string covered(const Place& place) {
  return place.source->text().substr(place.offset, place.length);
}

}  // namespace

TEST_CASE("toml - every type arrives with its value") {
  const auto d =
      parse("b = true\ni = -3\nf = 0.5\ns = \"x\\u00e4\"\nt = 1979-05-27\na = [1, 'two']\n[x.y]\nz = 1\n");
  CHECK(at(d, {"b"}).boolean);
  CHECK(at(d, {"i"}).integer == -3);
  CHECK(at(d, {"f"}).real == 0.5);
  CHECK(at(d, {"s"}).string == "xä");
  CHECK(at(d, {"t"}).is(TomlValue::Kind::date));
  CHECK(at(d, {"a"}).items.at(1).string == "two");
  CHECK(at(d, {"x", "y", "z"}).integer == 1);
}

TEST_CASE("toml - places are those of the bytes, after characters of several bytes too") {
  const auto d = parse(
      "# ä\ntable = { \"ä€𝄞\" = 'ö', next = 17 }\n[section.sub]\nkey = \"v\"\nlist = [\n  1,\n  22 ]\n");
  CHECK(covered(at(d, {"table", "ä€𝄞"}).place) == "'ö'");
  CHECK(covered(at(d, {"table"}).find("next")->key_place) == "next");
  const TomlValue& next = at(d, {"table", "next"});
  CHECK(covered(next.place) == "17");
  CHECK(position_of(next.place).line == 2);
  // "table = { " is 10 bytes, the quoted key 11, " = 'ö', next = " 16.
  CHECK(position_of(next.place).column == 38);
  CHECK(covered(at(d, {"section", "sub"}).find("key")->key_place) == "key");
  CHECK(covered(at(d, {"section", "sub", "list"}).items[1].place) == "22");
  CHECK(position_of(at(d, {"section", "sub", "list"}).items[1].place).line == 7);
  CHECK(position_of(at(d, {"section", "sub", "list"}).items[1].place).column == 3);
}

TEST_CASE("toml - members keep the order of the text") {
  const auto d = parse("z = 1\na = 2\n[m]\nq = 1\nb = 2\n[c]\n");
  std::string order;
  for (const TomlMember& member : d.root.members) order += member.key;
  CHECK(order == "zamc");
  CHECK(d.root.find("m")->value.members.front().key == "q");
}

TEST_CASE("toml - a byte order mark and CRLF are accepted and shift nothing") {
  const auto d = parse(
      "\xEF\xBB\xBF"
      "a = 1\r\nbc = 2\r\n");
  CHECK(position_of(at(d, {"a"}).place).column == 5);
  CHECK(position_of(at(d, {"bc"}).place).line == 2);
  CHECK(diagnostic_at(at(d, {"bc"}).place, Code::bad_value, "t").source_line == "bc = 2");
}

TEST_CASE("toml - what is no text is refused with its place") {
  using namespace std::string_literals;
  check_refusal("a = 1\nb\0 = 2\n"s, Code::toml_encoding, 2, 2);
  check_refusal("a = 1\nb = \"x\xff\"\n", Code::toml_encoding, 2, 7);
  check_refusal("a = \"\xC0\x80\"", Code::toml_encoding, 1, 6);          // overlong
  check_refusal("a = \"\xED\xA0\x80\"", Code::toml_encoding, 1, 6);      // surrogate
  check_refusal("a = \"\xF4\x90\x80\x80\"", Code::toml_encoding, 1, 6);  // beyond U+10FFFF
  check_refusal("a = \"\xE2\x82", Code::toml_encoding, 1, 6);            // cut short
  check_refusal("a = 1\n[\x0B]\n", Code::toml_syntax, 2, 2);
  check_refusal("a = 1\rb = 2\n", Code::toml_syntax, 1, 6);
  check_refusal("a = 1\naa\xEF\xB3\xBF. = 1\n", Code::toml_syntax, 2, 3);
}

TEST_CASE("toml - syntax errors have their line") {
  CHECK(refusal("a = 1\nb = = 2\n").where.line == 2);
  CHECK(refusal("a = 1\nb = = 2\n").where.column == 5);
  CHECK(refusal("a = 1\nb = \"open\nc = 2\n").where.line == 2);
  CHECK(refusal("a = 1\n\na = 2\n").where.line == 3);
  CHECK(refusal("[a\nb = 1\n").where.line == 1);
  CHECK(refusal("a = 99999999999999999999\n").where.line == 1);
  CHECK(refusal("b = = 2").source_line == "b = = 2");
}

// The column is where reading ended: at the limit, not behind the text.
TEST_CASE("toml - texts that crash toml++ or exhaust memory are refused where they pass a limit") {
  check_refusal("x = 1\n" + repeated("a.", 20'000) + "b = 1\n", Code::toml_too_large, 2, 130);
  check_refusal("[" + repeated("a.", 20'000) + "b]\n", Code::toml_too_large, 1, 131);
  check_refusal("k = { " + repeated("\"a\" . ", 20'000) + "b = 1 }\n", Code::toml_too_large, 1, 6 + 64 * 6 + 5);
  check_refusal(repeated("a = 1 # 2 MiB\n", 150'000), Code::toml_too_large, 0, 0);
  check_refusal("k = " + repeated("[", 300) + repeated("]", 300) + "\n", Code::toml_too_large, 1, 69);
  check_refusal("k = " + repeated("{a=", 300) + "1" + repeated("}", 300) + "\n", Code::toml_too_large, 1, 5 + 64 * 3);
  check_refusal("[" + std::string("\x0B", 1), Code::toml_syntax, 1, 2);
}

TEST_CASE("toml - letters beyond ASCII behind a malformed value are refused") {
  // Each is in a range that toml++ took for unreachable; what that does shows under UBSan (fuzz_pipeline).
  for (const char* letter : {"\xd0\xa2", "\xc3\xa4", "\xe1\x9a\x81", "\xe3\x80\x81"}) {
    CHECK(refusal("a.b.c = [1E\"" + std::string(letter) + "\n[").where.line == 1);
  }
}

TEST_CASE("toml - the limits themselves are accepted") {
  const auto deep = parse(repeated("a.", 64) + "b = 1\n");
  const TomlValue* value = &deep.root;
  for (int i = 0; i < 65; ++i) value = &value->members.front().value;
  CHECK(value->integer == 1);
  CHECK(parse("k = " + repeated("[", 64) + repeated("]", 64)).root.members.size() == 1);
  CHECK(parse("k = [" + repeated("1.5, ", 1000) + "]").root.members[0].value.items.size() == 1000);
  CHECK(parse("s = '''" + repeated(".[{", 1000) + "''' # " + repeated(".[{", 1000) + "\n")
            .root.members.size() == 1);
  CHECK(parse("s = \"" + repeated("\\\"[.", 500) + "\"\n").root.members[0].value.string.size() == 1500);
  CHECK(parse("s = \"\"\"a\"\"\"\"\"\nt = [" + repeated("[],", 100) + "]").root.members[0].value.string ==
        "a\"\"");
}

TEST_CASE("toml - dots inside nested inline tables cannot multiply into a deep tree") {
  const std::string level = "{" + repeated("a.", 60) + "b = ";
  CHECK(refusal("k = " + repeated(level, 60) + "1" + repeated("}", 60)).code == Code::toml_too_large);
}

TEST_CASE("toml - a megabyte on one line with wide characters costs no square") {
  std::string text = "k = [";
  while (text.size() < 1'000'000) text += "'ä', ";  // 6 bytes
  CHECK(takes_linear_time(text.size() / 6, [&](size_t n) { parse(text.substr(0, 5 + n * 6) + "]"); }));
  const auto d = parse(text + "]");
  CHECK(covered(d.root.members[0].value.items.back().place) == "'ä'");
}

TEST_CASE("read_toml_file - missing files and folders are input errors") {
  for (const char* path : {"tests/no/such.toml", "tests"}) {
    CAPTURE(path);
    try {
      read_toml_file(path);
      FAIL("was accepted");
    } catch (const Error& error) {
      CHECK(error.exit_code() == 66);
      CHECK(std::string(error.what()).find(path) != std::string::npos);
    }
  }
}

TEST_CASE("read_toml_file - names the file and knows its folder") {
  const auto file = std::filesystem::temp_directory_path() / "tenure_toml_document_test.toml";
  std::ofstream(file) << "a = 1\n";
  const auto d = read_toml_file(file);
  CHECK(d.source->file() == file.string());
  CHECK(d.source->folder() == file.parent_path());
  CHECK(at(d, {"a"}).integer == 1);
  std::filesystem::remove(file);
}
