#include <doctest/doctest.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <random>
#include <thread>

#include "error/error.h"
#include "record/run_directory.h"
#include "scratch.h"

using namespace tenure;

namespace {

ResultRow numbered_row(const std::string& id, size_t text_bytes) {
  ResultRow row;
  row.id = id;
  row.stage = "s";
  row.text = std::string(text_bytes, 'x');
  return row;
}

// Writes rows for ever and says after each, through the pipe, that write() returned.
[[noreturn]] void write_until_killed(const std::string& run, int iteration, int acknowledge) {
  const RunDirectory directory = RunDirectory::open({.path = run, .manifest = "{}"});
  RowWriter rows =
      directory.open_rows({.when = iteration % 2 ? SyncPolicy::When::none : SyncPolicy::When::record});
  std::mt19937 random(static_cast<uint32_t>(iteration));
  for (int i = 0;; ++i) {
    rows.write(
        numbered_row(fmt::format("{}-{}", iteration, i), random() % 8 ? random() % 500 : random() % 300'000));
    const char done = 1;
    if (write(acknowledge, &done, 1) != 1) _exit(1);
  }
}

// Runs in a child, since the limit is the process's.
template <class Body>
int in_child(Body body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// Writes until it fails; exits with 0 when the failure is 74, every later write fails too, and the file holds
// exactly the acknowledged rows.
int fill_up(const std::string& path) {
  RowWriter rows(path, {.when = SyncPolicy::When::none});
  uint64_t acknowledged = 0;
  try {
    for (int i = 0; i < 100'000; ++i, ++acknowledged) rows.write(numbered_row(fmt::format("{}", i), 700));
    return 1;
  } catch (const Error& e) {
    if (e.exit_code() != 74) return 2;
  }
  try {
    rows.write(numbered_row("later", 1));
    return 3;
  } catch (const Error&) {
  }
  const std::string content = Scratch::read(path);
  if (acknowledged == 0 || !content.ends_with('\n')) return 4;
  const RowIndex index = RowIndex::read(path);
  return index.size() == acknowledged && index.scan().n_unreadable == 0 && index.scan().end == content.size()
             ? 0
             : 5;
}

}  // namespace

TEST_CASE("journal - 60 kills lose no acknowledged row and leave no torn one") {
  const Scratch scratch;
  std::mt19937 random(11);
  std::vector<int64_t> acknowledged(60);
  // Ten kills a directory: each open reads all rows, and sixty kills' worth takes long to read sixty times.
  const auto run_of = [&](int iteration) { return scratch.file(fmt::format("run-{}", iteration / 10)); };
  for (int iteration = 0; iteration < 60; ++iteration) {
    const std::string run = run_of(iteration);
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    const pid_t child = fork();
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      close(ends[0]);
      write_until_killed(run, iteration, ends[1]);
    }
    close(ends[1]);
    char block[4096];
    ssize_t n = read(ends[0], block, sizeof block);  // at least one row, then a random moment
    acknowledged[iteration] += n;
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 8000));
    kill(child, SIGKILL);
    while ((n = read(ends[0], block, sizeof block)) > 0) acknowledged[iteration] += n;
    close(ends[0]);
    waitpid(child, nullptr, 0);

    const RunDirectory directory = RunDirectory::open({.path = run, .manifest = "{}"});
    CHECK(directory.found_state() == RunState::unfinished);
    CHECK(directory.rows().scan().n_unreadable == 0);
    CHECK(Scratch::read(directory.results_path()).ends_with('\n'));
  }
  RowIndex index;
  int64_t n_lost = 0, n_acknowledged = 0;
  for (int iteration = 0; iteration < 60; ++iteration) {
    if (iteration % 10 == 0) index = RowIndex::read(run_of(iteration) + "/results.jsonl");
    n_acknowledged += acknowledged[iteration];
    for (int64_t i = 0; i < acknowledged[iteration]; ++i) {
      if (!index.find(fmt::format("{}-{}", iteration, i), "", "s", 0)) ++n_lost;
    }
  }
  CHECK(n_acknowledged > 60);
  CHECK(n_lost == 0);
}

TEST_CASE("journal - a short write is cut back and stops the run with 74") {
  const Scratch scratch;
  const int result = in_child([&] {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{100'000, 100'000};
    setrlimit(RLIMIT_FSIZE, &limit);
    return fill_up(scratch.file("results.jsonl"));
  });
  CHECK(result == 0);
}

TEST_CASE("journal - a full disk is cut back and stops the run with 74, and a resume goes on") {
  const Scratch scratch;
  const std::string disk = scratch.file("disk");
  std::filesystem::create_directory(disk);
  if (mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=64k") != 0) {
    MESSAGE("no right to mount a small tmpfs here: skipped (the file size limit covers the same path)");
    return;
  }
  const int result = in_child([&] { return fill_up(disk + "/results.jsonl"); });
  const size_t rows_before = RowIndex::read(disk + "/results.jsonl").size();
  mount("tmpfs", disk.c_str(), "tmpfs", MS_REMOUNT, "size=1m");
  RowWriter(disk + "/results.jsonl", {}).write(numbered_row("more", 10));
  const size_t rows_after = RowIndex::read(disk + "/results.jsonl").size();
  umount(disk.c_str());
  CHECK(result == 0);
  CHECK(rows_after == rows_before + 1);
}

TEST_CASE("journal - several threads write whole rows") {
  const Scratch scratch;
  const std::string path = scratch.file("results.jsonl");
  {
    RowWriter rows(path, {.when = SyncPolicy::When::interval, .interval = std::chrono::milliseconds(1)});
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 200; ++i) {
          rows.write(numbered_row(fmt::format("{}-{}", t, i), 300));
          rows.sync_if_due();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(rows.n_rows() == 800);
    CHECK(rows.n_bytes() == std::filesystem::file_size(path));
  }
  const RowIndex index = RowIndex::read(path);
  CHECK(index.size() == 800);
  CHECK(index.scan().n_unreadable == 0);
}
