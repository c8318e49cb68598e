#include "record/run_directory.h"

#include <doctest/doctest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "error/error.h"
#include "made_rows.h"
#include "scratch.h"

using namespace tenure;

namespace {

template <class Body>
Error caught(Body body) {
  try {
    body();
  } catch (const Error& e) {
    return e;
  }
  FAIL("nothing was thrown");
  return Error(Code::internal, "");
}

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

ResultRow row_of(std::string id, int64_t attempt = 1, RowStatus status = RowStatus::ok) {
  ResultRow row;
  row.id = std::move(id);
  row.stage = "s";
  row.attempt = attempt;
  row.status = status;
  return row;
}

}  // namespace

TEST_CASE("run directory - goes from absent to unfinished to done") {
  const Scratch scratch;
  const std::string run = scratch.file("deep/er/run");
  const RunDirectory::Options options{.path = run, .manifest = R"({"a":1})"};
  CHECK(run_state(run) == RunState::absent);
  CHECK(RunDirectory::open(options).found_state() == RunState::absent);
  CHECK(run_state(run) == RunState::unfinished);
  CHECK(Scratch::read(run + "/manifest.json") == R"({"a":1})");
  {
    const RunDirectory again = RunDirectory::open(options);
    CHECK(again.found_state() == RunState::unfinished);
    again.write_summary("{}\n");
    again.write_progress("{}\n");
    again.write_metrics("x 1\n");
    again.write_done(3, 99);
  }
  CHECK(RunDirectory::open(options).found_state() == RunState::done);
  for (const auto& entry : std::filesystem::directory_iterator(run))
    CHECK(entry.path().extension() != ".tmp");
}

TEST_CASE("run directory - another plan is refused with the keys that differ") {
  const Scratch scratch;
  const std::string run = scratch.file("run");
  RunDirectory::open(
      {.path = run,
       .manifest =
           R"({"plan":{"budget":"1/8","seed":1},"model":{"sha256":"aa"},"machine":{"cpu":"x"},"old":1})"});
  const std::string changed =
      R"({"model":{"sha256":"bb"},"plan":{"seed":1,"budget":"1/4"},"machine":{"cpu":"y"},"new":[2]})";
  const Error e =
      caught([&] { RunDirectory::open({.path = run, .manifest = changed, .free_keys = {"machine"}}); });
  CHECK(e.exit_code() == 78);
  CHECK(has(e.what(), "plan.budget: \"1/8\" -> \"1/4\""));
  CHECK(has(e.what(), "model.sha256"));
  CHECK(has(e.what(), "old: 1 -> (absent)"));
  CHECK(has(e.what(), "new: (absent) -> [2]"));
  CHECK_FALSE(has(e.what(), "machine"));
  CHECK_FALSE(has(e.what(), "plan.seed"));
  RunDirectory::open(
      {.path = run,
       .manifest =
           R"({"model":{"sha256":"aa"},"plan":{"seed":1,"budget":"1/8"},"machine":{"cpu":"z"},"old":1})",
       .free_keys = {"machine"}});
}

TEST_CASE("run directory - a second process is told who holds the lock, and a killed one leaves none") {
  const Scratch scratch;
  const std::string run = scratch.file("run");
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // gone with the test, however that ends
    const RunDirectory held = RunDirectory::open({.path = run, .manifest = "{}"});
    if (write(ends[1], "x", 1) != 1) _exit(1);
    pause();
    _exit(0);
  }
  char ready = 0;
  REQUIRE(read(ends[0], &ready, 1) == 1);
  const Error e = caught([&] { RunDirectory::open({.path = run, .manifest = "{}"}); });
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(ends[0]);
  close(ends[1]);
  CHECK(e.code() == Code::run_locked);
  CHECK(e.exit_code() == 75);
  CHECK(has(e.what(), "pid " + std::to_string(child)));
  CHECK(RunDirectory::open({.path = run, .manifest = "{}"}).found_state() == RunState::unfinished);
}

TEST_CASE("run directory - a torn tail of any length is cut, whole rows stay") {
  MadeRows made(4);
  const std::string first = to_json_line(made.row()) + "\n";
  ResultRow second_row = made.row();
  second_row.id = "second";
  const std::string second = to_json_line(second_row) + "\n";
  const Scratch scratch;
  const std::string run = scratch.file("run");
  RunDirectory::open({.path = run, .manifest = "{}"});
  const std::string results = run + "/results.jsonl";
  for (size_t cut = 1; cut < second.size(); cut += 7) {
    scratch.write("run/results.jsonl", first + second.substr(0, cut));
    const RunDirectory opened = RunDirectory::open({.path = run, .manifest = "{}"});
    CHECK(Scratch::read(results) == first);
    CHECK(opened.cut_bytes() == cut);
    CHECK(opened.rows().size() == 1);
  }
  scratch.write("run/results.jsonl", first + std::string(4096, '\0'));  // blocks that were never written
  RunDirectory::open({.path = run, .manifest = "{}"});
  CHECK(Scratch::read(results) == first);
  scratch.write("run/results.jsonl", first + "{\"not\":\"a row\"}\n" + second);
  const RunDirectory odd = RunDirectory::open({.path = run, .manifest = "{}"});
  CHECK(odd.rows().scan().n_unreadable == 1);
  CHECK(odd.rows().size() == 2);
  CHECK(odd.cut_bytes() == 0);
}

TEST_CASE("row index - the last attempt counts, and an error is done unless it is to be retried") {
  const Scratch scratch;
  const std::string path = scratch.file("results.jsonl");
  {
    RowWriter rows(path, {});
    rows.write(row_of("a", 1, RowStatus::error));
    rows.write(row_of("b", 1, RowStatus::error));
    rows.write(row_of("a", 2, RowStatus::ok));
  }
  const RowIndex index = RowIndex::read(path);
  CHECK(index.size() == 2);
  CHECK(index.scan().n_lines == 3);
  CHECK(index.is_done("a", "", "s", 0, true));
  CHECK(index.is_done("b", "", "s", 0));
  CHECK_FALSE(index.is_done("b", "", "s", 0, true));
  CHECK_FALSE(index.is_done("b", "", "s", 1));
  CHECK_FALSE(index.is_done("b", "s", "", 0));
  CHECK(index.next_attempt("a", "", "s", 0) == 3);
  CHECK(index.next_attempt("c", "", "s", 0) == 1);
  std::vector<std::string> seen;
  for_each_current_row(path, [&](const ResultRow& row, std::string_view) {
    seen.push_back(row.id + std::to_string(row.attempt));
  });
  CHECK(seen == std::vector<std::string>{"b1", "a2"});
}

TEST_CASE("run directory - an input that the run would write is refused") {
  const Scratch scratch;
  const std::string run = scratch.file("run");
  RunDirectory::open({.path = run, .manifest = "{}"});
  scratch.write("run/results.jsonl", "");
  std::filesystem::create_symlink(run + "/results.jsonl", scratch.file("link"));
  for (const std::string& input :
       {run + "/results.jsonl", run + "/../run/results.jsonl", scratch.file("link")}) {
    CHECK(caught([&] {
            RunDirectory::open({.path = run, .manifest = "{}", .free_keys = {}, .inputs = {input}});
          }).exit_code() == 78);
  }
}

TEST_CASE("run directory - results without a manifest are not taken over") {
  const Scratch scratch;
  std::filesystem::create_directory(scratch.file("run"));
  scratch.write("run/results.jsonl", "{}\n");
  CHECK(caught([&] { RunDirectory::open({.path = scratch.file("run"), .manifest = "{}"}); }).code() ==
        Code::run_malformed);
}

TEST_CASE("run directory - where nothing can be made is 73") {
  const Scratch scratch;
  scratch.write("file", "x");
  CHECK(caught([&] {
          RunDirectory::open({.path = scratch.file("file/run"), .manifest = "{}"});
        }).exit_code() == 73);
}

TEST_CASE("run directory - default names differ, and standard input is kept once") {
  const Scratch scratch;
  const std::string a = RunDirectory::make_default(scratch.file("runs"), "exp");
  const std::string b = RunDirectory::make_default(scratch.file("runs"), "exp");
  CHECK(a != b);
  CHECK(has(a, "/runs/exp-"));
  const RunDirectory run = RunDirectory::open({.path = a, .manifest = "{}"});
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  REQUIRE(write(ends[1], "{\"id\":1}\n", 9) == 9);
  close(ends[1]);
  CHECK(Scratch::read(run.keep_requests(ends[0])) == "{\"id\":1}\n");
  close(ends[0]);
  CHECK(Scratch::read(run.keep_requests(-1)) == "{\"id\":1}\n");
}
