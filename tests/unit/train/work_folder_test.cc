#include "train/work_folder.h"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>
#include <functional>

#include "error/error.h"

namespace tenure::test {
namespace {

struct Folder {
  Folder() {
    char path[] = "/tmp/tenure-work-XXXXXX";
    REQUIRE(mkdtemp(path) != nullptr);
    name = std::string(path) + "/out.training";
  }
  ~Folder() { std::filesystem::remove_all(std::filesystem::path(name).parent_path()); }
  std::string name;
};

LayerState some_state() {
  return {.step = 7,
          .parameters = {{1, 2, 3}, {}},
          .first = {{0.1f, 0.2f, 0.3f}, {}},
          .second = {{4, 5, 6}, {}},
          .curve = {.losses = {3, 2, 1}, .held_out = {{.step = 3, .loss = 0.5f, .overlap = 0.25f}}}};
}

Code code_of(const std::function<void()>& run) {
  try {
    run();
  } catch (const Error& error) {
    return error.code();
  }
  return Code{};
}

}  // namespace

TEST_CASE("work folder - gives back what was put there, to another process too") {
  const Folder folder;
  {
    WorkFolder work(folder.name, "seed = 1\n");
    CHECK(work.n_captured() == 0);
    CHECK(!work.checkpoint(3));
    CHECK(!work.trained(2));
    work.set_captured(12);
    work.set_trained(2, {.parameters = {{1.5f}}, .curve = {.losses = {9}}});
    work.set_checkpoint(3, some_state());
  }
  WorkFolder work(folder.name, "seed = 1\n");
  CHECK(work.n_captured() == 12);
  REQUIRE(work.trained(2));
  CHECK(work.trained(2)->parameters == std::vector<std::vector<float>>{{1.5f}});
  CHECK(work.trained(2)->curve.losses == std::vector<float>{9});
  const auto state = work.checkpoint(3);
  REQUIRE(state);
  CHECK(state->step == 7);
  CHECK(state->parameters == some_state().parameters);
  CHECK(state->first == some_state().first);
  CHECK(state->second == some_state().second);
  CHECK(state->curve.losses == some_state().curve.losses);
  REQUIRE(state->curve.held_out.size() == 1);
  CHECK(state->curve.held_out[0].overlap == 0.25f);
  CHECK(!work.checkpoint(4));  // it is another layer's
  work.remove();
  CHECK(!std::filesystem::exists(folder.name));
}

TEST_CASE("work folder - another training and another process are refused") {
  const Folder folder;
  WorkFolder work(folder.name, "policy = a\nseed = 1\n");
  CHECK(code_of([&] { WorkFolder(folder.name, "policy = a\nseed = 1\n"); }) == Code::run_locked);
  { const WorkFolder done = std::move(work); }
  try {
    WorkFolder(folder.name, "policy = a\nseed = 2\n");
    FAIL("taken up");
  } catch (const Error& error) {
    CHECK(error.code() == Code::run_differs);
    CHECK(std::string(error.what()).find("\"seed = 1\"") != std::string::npos);
    CHECK(std::string(error.what()).find("\"seed = 2\"") != std::string::npos);
  }
}

TEST_CASE("work folder - a checkpoint of any length but its own is refused, not read beyond") {
  const Folder folder;
  WorkFolder work(folder.name, "");
  work.set_checkpoint(0, some_state());
  const std::string file = folder.name + "/checkpoint";
  for (auto size = std::filesystem::file_size(file) - 1; size > 0; size -= 1) {
    std::filesystem::resize_file(file, size);
    CHECK(code_of([&] { static_cast<void>(work.checkpoint(0)); }) == Code::run_malformed);
  }
}

}  // namespace tenure::test
