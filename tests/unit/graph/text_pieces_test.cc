#include "graph/text_pieces.h"

#include <doctest/doctest.h>

#include <vector>

namespace tenure::test {
namespace {

using Pieces = std::vector<std::string>;

Pieces pieces_of(const std::string& text, uint64_t max_bytes) {
  TextPieces pieces(text, max_bytes);
  Pieces all;
  while (std::optional<std::string> piece = pieces.next()) all.push_back(std::move(*piece));
  CHECK(pieces.offset() == text.size());
  CHECK_FALSE(pieces.next());
  return all;
}

}  // namespace

TEST_CASE("text pieces - as many whole lines as fit") {
  CHECK(pieces_of("ab\ncd\nef\n", 5) == Pieces{"ab\ncd", "ef"});
  CHECK(pieces_of("ab\ncd\nef\n", 4) == Pieces{"ab", "cd", "ef"});
  CHECK(pieces_of("ab\ncd\nef", 8) == Pieces{"ab\ncd\nef"});
  CHECK(pieces_of("ab\ncd\nef", UINT64_MAX) == Pieces{"ab\ncd\nef"});
  CHECK(pieces_of("ab\n\ncd\n", 6) == Pieces{"ab\n\ncd"});
}

TEST_CASE("text pieces - a line that is longer is one of its own") {
  CHECK(pieces_of("abcdef\ngh\nijklmnop", 3) == Pieces{"abcdef", "gh", "ijklmnop"});
  CHECK(pieces_of("abcdef", 1) == Pieces{"abcdef"});
}

TEST_CASE("text pieces - blank lines between two belong to none, and alone are no piece") {
  CHECK(pieces_of("\n\nab\n\n\n\ncd\n\n", 4) == Pieces{"ab", "cd"});
  CHECK(pieces_of("\n\n", 1).empty());
  CHECK(pieces_of("", 1).empty());
}

}  // namespace tenure::test
