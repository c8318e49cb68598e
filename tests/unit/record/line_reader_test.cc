#include "record/line_reader.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <random>
#include <vector>

#include "error/error.h"
#include "scratch.h"

using namespace tenure;

TEST_CASE("lines - any mix of lengths, blanks and line ends comes out as plain splitting says") {
  std::mt19937 random(3);
  const Scratch scratch;
  for (int round = 0; round < 40; ++round) {
    std::string content;
    std::vector<std::pair<uint64_t, std::string>> wanted;
    const int n_lines = static_cast<int>(random() % 30);
    for (int i = 1; i <= n_lines; ++i) {
      const size_t length = random() % 4 == 0 ? random() % 700'000 : random() % 20;
      const std::string text(length, static_cast<char>('a' + random() % 26));
      if (!text.empty()) wanted.emplace_back(i, text);
      content += text;
      if (i < n_lines || random() % 2 == 0) content += random() % 2 == 0 ? "\r\n" : "\n";
    }
    LineReader lines(scratch.write("lines", content));
    std::vector<std::pair<uint64_t, std::string>> got;
    while (const auto line = lines.next()) {
      got.emplace_back(line->number, std::string(line->text));
      CHECK(content.compare(line->offset, line->text.size(), line->text) == 0);
    }
    CHECK(got == wanted);
    CHECK(lines.offset() == content.size());
  }
}

TEST_CASE("lines - a byte order mark is skipped at the start only") {
  const Scratch scratch;
  LineReader lines(scratch.write("bom", "\xef\xbb\xbf{}\n\xef\xbb\xbfx"));
  CHECK(lines.next()->text == "{}");
  const auto last = lines.next();
  CHECK(last->text == "\xef\xbb\xbfx");
  CHECK_FALSE(last->terminated);
}

TEST_CASE("lines - one longer than the cap is skipped in bounded memory") {
  const Scratch scratch;
  const std::string path = scratch.file("long");
  {
    std::ofstream out(path);
    out << "first\n";
    const std::string block(1 << 20, 'x');
    for (int i = 0; i < 300; ++i) out << block;
    out << "\nlast\n";
  }
  struct rusage before {};
  getrusage(RUSAGE_SELF, &before);
  LineReader lines(path, 1 << 20);
  CHECK(lines.next()->text == "first");
  const auto line = lines.next();
  CHECK(line->too_long);
  CHECK(line->text.empty());
  CHECK(line->number == 2);
  const auto last = lines.next();
  CHECK(last->text == "last");
  CHECK(last->number == 3);
  CHECK_FALSE(lines.next());
  struct rusage after {};
  getrusage(RUSAGE_SELF, &after);
  CHECK(after.ru_maxrss - before.ru_maxrss < 100 * 1024);  // KiB; the line has 300 MiB
}

TEST_CASE("lines - a line of exactly the cap is whole") {
  const Scratch scratch;
  LineReader lines(scratch.write("cap", "12345678\n123456789\n1"), 8);
  CHECK(lines.next()->text == "12345678");
  CHECK(lines.next()->too_long);
  CHECK(lines.next()->text == "1");
}

TEST_CASE("lines - a missing file or a directory is 66") {
  const Scratch scratch;
  for (const std::string& path : {scratch.file("absent"), scratch.file("")}) {
    try {
      LineReader lines(path);
      FAIL("opened");
    } catch (const Error& e) {
      CHECK(e.exit_code() == 66);
    }
  }
}
