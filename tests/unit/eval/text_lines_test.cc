#include "eval/text_lines.h"

#include <doctest/doctest.h>

#include "error/error.h"
#include "unit/eval/text_file.h"

namespace tenure::test {

TEST_CASE("text lines - of all files in order, without blank ones and carriage returns") {
  const TextFile first("one\n\n  \ntwo\r\n"), second("three");
  CHECK(read_text_lines({first.path(), second.path()}) == std::vector<std::string>{"one", "two", "three"});
}

TEST_CASE("text lines - what is no text is refused by name") {
  const TextFile empty("\n \n"), binary(std::string("a\0b", 3));
  CHECK_THROWS_WITH_AS(read_text_lines({empty.path()}), doctest::Contains("has no line of text"), Error);
  CHECK_THROWS_WITH_AS(read_text_lines({binary.path()}), doctest::Contains("byte of zero"), Error);
  CHECK_THROWS_AS(read_text_lines({"tests/data/no such file"}), Error);
}

}  // namespace tenure::test
