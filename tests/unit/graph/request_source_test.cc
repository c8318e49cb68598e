// The requests of a read stage: files in order, ids once, as many as asked for.
#include "graph/request_source.h"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "error/error.h"

namespace tenure::test {
namespace {

namespace fs = std::filesystem;

class Folder {
 public:
  Folder() {
    std::string pattern = (fs::temp_directory_path() / "tenure-graph-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
    return (path_ / name).string();
  }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  fs::path path_;
};

StagePlan stage_of(StageKind kind, std::optional<uint64_t> limit = {}) {
  StagePlan stage;
  stage.id = "read";
  stage.kind = kind;
  ReadPlan read;
  read.limit = limit;
  stage.work = read;
  return stage;
}

// "id" of a request, "id!message" of an error.
std::vector<std::string> all_of(RequestSource& source) {
  std::vector<std::string> seen;
  while (const std::optional<ParsedRequest> request = source.next()) {
    if (const auto* error = std::get_if<RequestError>(&*request)) {
      seen.push_back(error->id + "!" + error->message);
    } else {
      seen.push_back(std::get<Request>(*request).id);
    }
  }
  return seen;
}

std::string line(const std::string& id) {
  return "{\"id\": \"" + id + "\", \"prompt\": \"p\"}\n";
}

Code code_of(const std::vector<std::string>& patterns) {
  try {
    expand_paths(patterns, "");
  } catch (const Error& error) {
    return error.code();
  }
  return Code::internal;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("expand_paths - literal paths in order, each glob sorted, standard input in its place") {
  Folder folder;
  const std::string b = folder.write("b.jsonl", ""), a = folder.write("a.jsonl", ""),
                    other = folder.write("z.txt", "");
  CHECK(expand_paths({other, folder / "*.jsonl", "-"}, "/run/requests.jsonl") ==
        Names{other, a, b, "/run/requests.jsonl"});
  const std::string odd = folder.write("odd[1].jsonl", "");
  CHECK(expand_paths({odd}, "") == Names{odd});  // a file of that very name wins over the pattern
}

TEST_CASE("expand_paths - what is not there is input missing") {
  Folder folder;
  CHECK(code_of({folder / "none.jsonl"}) == Code::input_missing);
  CHECK(code_of({folder / "*.jsonl"}) == Code::input_missing);
  CHECK(code_of({folder / "."}) == Code::input_missing);
}

TEST_CASE("request source - files one after the other, blank lines skipped, bytes counted") {
  Folder folder;
  const std::string first = folder.write("1", line("a") + "\n" + line("b")),
                    second = folder.write("2", line("c") + "{\"id\": \"d\", \"prompt\": \"p\"}");
  RequestSource source(stage_of(StageKind::read_jsonl), {first, second});
  CHECK(source.bytes_total() == fs::file_size(first) + fs::file_size(second));
  CHECK(source.bytes_read() == 0);
  REQUIRE(source.next());
  CHECK(source.bytes_read() == line("a").size());
  CHECK(all_of(source) == Names{"b", "c", "d"});
  CHECK(source.bytes_read() == source.bytes_total());
  CHECK_FALSE(source.next());
}

TEST_CASE("request source - a limit counts requests, bad lines included") {
  Folder folder;
  const std::string file = folder.write("f", line("a") + "no json\n" + line("b") + line("c"));
  RequestSource source(stage_of(StageKind::read_jsonl, 3), {file});
  const Names seen = all_of(source);
  REQUIRE(seen.size() == 3);
  CHECK(seen[1].starts_with("line-2!"));
  CHECK(seen[2] == "b");
  RequestSource none(stage_of(StageKind::read_jsonl, 0), {file});
  CHECK_FALSE(none.next());
}

TEST_CASE("request source - an id used before is an error with a key of its own") {
  Folder folder;
  const std::string first = folder.write("1", line("a") + line("b") + line("a")),
                    second = folder.write("2", "\n" + line("b") + line("a"));
  const std::string third = folder.write("3", line("c") + "\n" + line("a"));
  RequestSource source(stage_of(StageKind::read_jsonl), {first, second, third});
  const Names seen = all_of(source);
  CHECK(seen == Names{"a", "b", "a#line-3!id \"a\" was used on line 1 already",
                      "b#line-2!id \"b\" was used on line 2 already",
                      "a#line-3-2!id \"a\" was used on line 1 already", "c",
                      "a#line-3-3!id \"a\" was used on line 1 already"});
}

TEST_CASE("request source - bad lines of several files keep what was wrong with them, and a key each") {
  Folder folder;
  std::vector<std::string> files;
  for (const std::string name : {"1", "2", "3"}) files.push_back(folder.write(name, "{broken\n"));
  RequestSource source(stage_of(StageKind::read_jsonl), files);
  std::set<std::string> keys;
  for (const std::string& seen : all_of(source)) {
    keys.insert(seen.substr(0, seen.find('!')));
    CHECK(seen.find("already") == std::string::npos);
  }
  CHECK(keys.size() == 3);
}

TEST_CASE("request source - one request a text file; one that vanished is an error of its own") {
  Folder folder;
  const std::string a = folder.write("a.txt", "first text"), b = folder.write("b.txt", "second");
  const std::string gone = folder.write("gone.txt", "x");
  RequestSource source(stage_of(StageKind::read_text), {a, gone, b});
  fs::remove(gone);
  const std::optional<ParsedRequest> first = source.next();
  REQUIRE(first);
  CHECK(std::get<std::string>(std::get<Request>(*first).input) == "first text");
  CHECK(source.bytes_read() == 10);
  const Names rest = all_of(source);
  REQUIRE(rest.size() == 2);
  CHECK(rest[0].starts_with(gone + "!"));
  CHECK(rest[1] == b);
}

TEST_CASE("request source - text files in pieces, numbered in each file; the limit counts pieces") {
  Folder folder;
  const std::string a = folder.write("a.txt", "one\ntwo\nthree\n"), blank = folder.write("blank.txt", "\n\n");
  const std::string b = folder.write("b.txt", "four\n");
  StagePlan stage = stage_of(StageKind::read_text);
  std::get<ReadPlan>(stage.work).split = 7;
  std::get<ReadPlan>(stage.work).prompt_template = {{true, "name"}, {false, ": "}, {true, "text"}};
  RequestSource source(stage, {a, blank, b});
  const std::optional<ParsedRequest> first = source.next();
  REQUIRE(first);
  CHECK(std::get<std::string>(std::get<Request>(*first).input) == "a.txt: one\ntwo");
  CHECK(std::get<Request>(*first).id == a + "#1");
  CHECK(all_of(source) == Names{a + "#2", b + "#1"});
  CHECK(source.bytes_read() == source.bytes_total());
  std::get<ReadPlan>(stage.work).limit = 1;
  RequestSource limited(stage, {a, b});
  CHECK(all_of(limited) == Names{a + "#1"});
}

TEST_CASE("request source - a template makes the prompt, braces are text") {
  Folder folder;
  StagePlan stage = stage_of(StageKind::read_jsonl);
  std::get<ReadPlan>(stage.work).prompt_template = {{false, "Say {"}, {true, "body"}, {false, "}"}};
  std::get<ReadPlan>(stage.work).map = {{"id", "doc"}};
  RequestSource source(stage, {folder.write("f", "{\"doc\": 7, \"body\": \"it\"}\n")});
  const std::optional<ParsedRequest> request = source.next();
  REQUIRE(request);
  REQUIRE(std::holds_alternative<Request>(*request));
  CHECK(std::get<Request>(*request).id == "7");
  CHECK(std::get<std::string>(std::get<Request>(*request).input) == "Say {it}");
}

TEST_CASE("request source - an input that cannot be read ends the run before it starts") {
  Folder folder;
  CHECK_THROWS_AS(RequestSource(stage_of(StageKind::read_jsonl), {folder / "none"}), Error);
}

}  // namespace tenure::test
