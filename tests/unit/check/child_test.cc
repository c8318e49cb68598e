#include "check/child.h"

#include <doctest/doctest.h>

#include <fstream>
#include <thread>

#include "error/error.h"

using namespace tenure;

namespace {

ChildEnd shell(const std::string& script, std::chrono::seconds limit = std::chrono::seconds(30)) {
  return run_child({"/bin/sh", "-c", script}, limit);
}

// As a checking process leaves it: behind the 32 bytes of the hook's name.
std::string verdict_script(const std::string& line) {
  return "printf '" + line +
         "' | dd of=/proc/self/fd/$TENURE_CHECK_NOTES bs=1 seek=32 conv=notrunc status=none";
}

// Neither gone nor a zombie that nobody has fetched.
bool is_running(const std::string& process_id) {
  std::ifstream file("/proc/" + process_id + "/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("State:")) return line.find('Z') == std::string::npos;
  }
  return false;
}

}  // namespace

TEST_CASE("a child that left its verdict") {
  const ChildEnd end = shell(verdict_script("0\\truns\\tall well\\n"));
  REQUIRE(end.verdict);
  CHECK(end.verdict->text == "all well");
}

TEST_CASE("how a child died is told, with its last words") {
  const ChildEnd killed = shell("echo first; echo last words >&2; kill -SEGV $$");
  CHECK_FALSE(killed.verdict);
  CHECK(killed.death == "killed by SIGSEGV");
  CHECK(killed.last_words == "last words");
  const ChildEnd left = shell("exit 3");
  CHECK_FALSE(left.verdict);
  CHECK(left.death == "ended the process with status 3");
}

TEST_CASE("a verdict of a child that died after it does not count") {
  CHECK(shell(verdict_script("0\\truns\\tall well\\n") + "; kill -ABRT $$").death == "killed by SIGABRT");
}

TEST_CASE("a child that hangs is ended, and what it started too") {
  const ChildEnd end = shell("sleep 1000 & echo $!; sleep 1000", std::chrono::seconds(1));
  CHECK_FALSE(end.verdict);
  CHECK(end.death == "did not end within 1 s");
  REQUIRE_FALSE(end.last_words.empty());
  while (is_running(end.last_words)) std::this_thread::sleep_for(std::chrono::milliseconds(2));  // ctest's limit ends it
}

TEST_CASE("a program that is not there") {
  CHECK_THROWS_AS(run_child({"/none"}, std::chrono::seconds(1)), Error);
}
