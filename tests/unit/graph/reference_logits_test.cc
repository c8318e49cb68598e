#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "graph/reference_logits.h"

using namespace tenure;

namespace {

struct Folder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / "tenure-reference-logits";
  Folder() { std::filesystem::remove_all(path); }
  ~Folder() { std::filesystem::remove_all(path); }
  std::filesystem::path only_file() const { return std::filesystem::directory_iterator(path)->path(); }
};

AnswerLogits two_rows() {
  AnswerLogits logits;
  logits.tokens = {4, 9};
  logits.add_row(std::vector<float>{1, -2.5, 0});
  logits.add_row(std::vector<float>{0.125, 60000, -7});
  return logits;
}

}  // namespace

TEST_CASE("reference logits - what was put is got, by id, cell, stage and sample") {
  const Folder folder;
  const ReferenceLogits kept(folder.path);
  const ReferenceKey key{.id = "a/b", .cell = "x=1", .stage = "full", .sample = 2};
  CHECK_FALSE(kept.get(key));
  kept.put(key, two_rows());
  CHECK(kept.has(key));
  const auto found = kept.get(key);
  REQUIRE(found);
  CHECK(found->tokens == std::vector<int32_t>{4, 9});
  CHECK(found->row(0) == std::vector<float>{1, -2.5, 0});
  CHECK(found->row(1) == std::vector<float>{0.125, 60000, -7});
  CHECK_FALSE(kept.has({.id = "a/b", .cell = "x=1", .stage = "full", .sample = 1}));
  CHECK_FALSE(kept.has({.id = "a/bx", .cell = "=1", .stage = "full", .sample = 2}));
  kept.remove_all();
  CHECK_FALSE(std::filesystem::exists(folder.path));
}

TEST_CASE("reference logits - the row of an ending token is not kept") {
  const Folder folder;
  const ReferenceLogits kept(folder.path);
  AnswerLogits logits = two_rows();
  logits.tokens.pop_back();
  kept.put({.id = "a"}, logits);
  CHECK(kept.get({.id = "a"})->rows.size() == 3);
}

TEST_CASE("reference logits - a file that is not whole is none") {
  const Folder folder;
  const ReferenceLogits kept(folder.path);
  kept.put({.id = "a"}, two_rows());
  const std::filesystem::path file = folder.only_file();
  for (uintmax_t size = std::filesystem::file_size(file); size-- > 0;) {
    std::filesystem::resize_file(file, size);
    CHECK_FALSE(kept.get({.id = "a"}));
  }
  std::ofstream(file) << std::string(64, '\xff');
  CHECK_FALSE(kept.get({.id = "a"}));
}
