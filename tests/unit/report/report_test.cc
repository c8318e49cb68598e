#include "report/report.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "error/error.h"
#include "realistic_run.h"
#include "unit/record/scratch.h"

using namespace tenure;

namespace {

size_t count(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

// Every tag that is opened is closed, in order: what a browser would otherwise repair by guessing.
std::string first_unbalanced_tag(const std::string& html) {
  std::vector<std::string> open;
  for (size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at + 1)) {
    if (html[at + 1] == '!') continue;
    const bool closes = html[at + 1] == '/';
    const size_t begin = at + 1 + closes, end = html.find_first_of(" >/\n", begin), last = html.find('>', at);
    const std::string name = html.substr(begin, end - begin);
    if (name == "meta" || html[last - 1] == '/') continue;
    if (!closes) {
      open.push_back(name);
      if (name == "script" || name == "style") at = html.find("</" + name, at) - 1;
    } else if (open.empty() || open.back() != name) {
      return name;
    } else {
      open.pop_back();
    }
  }
  return open.empty() ? "" : open.back();
}

}  // namespace

TEST_CASE("report - shows every stage and cell, and is well formed") {
  const Scratch scratch;
  RealisticRun{}.write(scratch.file("needles"));
  const std::string path = write_report({scratch.file("needles")});
  CHECK(path == scratch.file("needles") + "/report.html");
  const std::string html = Scratch::read(path);
  CHECK(first_unbalanced_tag(html) == "");
  for (const char* part : {"standard", "evicted · budget=1/8", "delta · budget=1/2",
                           "smollm2-135m-instruct-f16.gguf", "Exact match", "Peak KV cache",
                           "KV cache while one request runs", "needle-40", "bad_plan", "gate failed"}) {
    CAPTURE(part);
    CHECK(html.find(part) != std::string::npos);
  }
  CHECK(count(html, "<svg") >= 7);
  CHECK(count(html, "<pre>") == 0);
}

TEST_CASE("report - needs nothing from outside") {
  const Scratch scratch;
  RealisticRun{.n_requests = 10}.write(scratch.file("run"));
  const std::string html = make_report(std::vector<std::string>{scratch.file("run")});
  for (const char* outside : {"http://", "https://", " src=", "@import", "url("})
    CHECK(html.find(outside) == std::string::npos);
}

TEST_CASE("report - HTML in prompts, ids and plugin messages stays text") {
  const Scratch scratch;
  const std::string hostile = "</script><script>alert(1)</script><img onerror='x' \"&";
  RealisticRun{.n_requests = 60, .prompt_text = hostile}.write(scratch.file("run"));
  RealisticRun{.n_requests = 60}.write(scratch.file("plain"));
  const std::string html = make_report(std::vector<std::string>{scratch.file("run")});
  const std::string plain = make_report(std::vector<std::string>{scratch.file("plain")});
  CHECK(html.find("&lt;script&gt;alert(1)") != std::string::npos);
  CHECK(html.find("<script>alert") == std::string::npos);
  CHECK(html.find("<img") == std::string::npos);
  CHECK(count(html, "<script") == count(plain, "<script"));
  CHECK(count(html, "</script") == count(plain, "</script"));
  CHECK(first_unbalanced_tag(html) == "");
}

TEST_CASE("report - a half, a torn and an empty run are reported as what they are") {
  const Scratch scratch;
  RealisticRun{.n_requests = 30, .finish = false}.write(scratch.file("half"));
  std::ofstream(scratch.file("half/results.jsonl"), std::ios::app) << "{\"id\":\"torn";
  const std::string half = make_report(std::vector<std::string>{scratch.file("half")});
  CHECK(half.find("unfinished") != std::string::npos);
  CHECK(half.find("rows written so far") != std::string::npos);
  CHECK(half.find("evicted") != std::string::npos);

  std::filesystem::create_directory(scratch.file("empty"));
  const std::string empty = make_report(std::vector<std::string>{scratch.file("empty")});
  CHECK(empty.find("No result rows yet") != std::string::npos);
  CHECK(first_unbalanced_tag(empty) == "");

  scratch.write("empty/manifest.json", "{broken");
  scratch.write("empty/summary.json", "[]");
  CHECK(first_unbalanced_tag(make_report(std::vector<std::string>{scratch.file("empty")})) == "");
  CHECK_THROWS_AS(make_report(std::vector<std::string>{scratch.file("absent")}), Error);
}

TEST_CASE("report - one context length makes bars, several runs keep their names") {
  const Scratch scratch;
  RealisticRun{.n_requests = 10, .contexts = {1024}}.write(scratch.file("a"));
  const std::string one = make_report(std::vector<std::string>{scratch.file("a")});
  CHECK(one.find("class=\"bars\"") != std::string::npos);
  RealisticRun{.seed = 2, .slower = 1.2}.write(scratch.file("b"));
  const std::string two = make_report({scratch.file("a"), scratch.file("b")});
  CHECK(two.find("2 runs") != std::string::npos);
  CHECK(two.find("a · standard") != std::string::npos);
  CHECK(two.find("b · standard") != std::string::npos);
  CHECK(first_unbalanced_tag(two) == "");
}
