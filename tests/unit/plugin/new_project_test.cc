// `tenure plugin new`: what it writes builds with nothing but the headers, loads, and works.
#include "plugin/new_project.h"

#include <cstdlib>

#include "plugin/policy.h"
#include "unit/plugin/fake_view.h"
#include "unit/plugin/plugin_fixture.h"

namespace tenure::test {
namespace {

void run(const std::string& command, const fs::path& log) {
  REQUIRE_MESSAGE(std::system(("(" + command + ") >>" + log.string() + " 2>&1").c_str()) == 0,
                  read_file(log));
}

}  // namespace

TEST_CASE("new project - builds outside the tree from headers alone, loads and scores") {
  const TemporaryFolder folder;
  const fs::path project = folder.path() / "mine", build = folder.path() / "build",
                 headers = folder.path() / "sdk";
  REQUIRE(fs::exists(sdk_include_folder() / "tenure/policy.h"));
  fs::create_directory(headers);
  fs::copy(fs::canonical(sdk_include_folder() / "tenure"), headers / "tenure");
  CHECK(create_project(PluginKind::policy, "mine", project, headers).size() == 4);

  const fs::path log = folder.path() / "log";
  run("cmake -S " + project.string() + " -B " + build.string() + " && cmake --build " + build.string(), log);
  CHECK_FALSE(contains(read_file(log), "warning"));

  const FakeModel model;
  const Library library(plugin_at(build / "libtenure_policy_mine.so"), HostLoan{});
  CHECK(library.id() == "mine");
  const Policy policy(library, model.info(), defaults_of(library.file()));
  FakeView view(1, 2);
  view.head(0).mass = {3.0f, 5.0f};
  FakeKeepSet keepset(view);
  const tenure_evidence evidence = view.evidence(keepset.face);
  const tenure_evidence* pointers[] = {&evidence};
  tenure_status statuses[] = {TENURE_INTERNAL};
  CHECK(policy.observe(call_in(TENURE_PHASE_CHUNK), 1, pointers, statuses).ok());
  CHECK(keepset.scores == std::vector<std::vector<float>>{{3.0f, 5.0f}});
}

TEST_CASE(
    "new project - finds the installed SDK by its CMake package, and the installed copy is the same "
    "project") {
  const TemporaryFolder folder;
  const std::string prefix = (folder.path() / "prefix").string(), build = (folder.path() / "build").string();
  const fs::path project = folder.path() / "mine", log = folder.path() / "log";
  for (const fs::path& file : create_project(PluginKind::policy, "template", project, "")) {
    CHECK(read_file(file) == read_file("plugins/template" / file.filename()));
  }
  run("cmake --install \"$TENURE_BUILD_DIR\" --component sdk --prefix " + prefix, log);
  run("cmake -S " + prefix + "/share/tenure/template -B " + build + " -DCMAKE_PREFIX_PATH=" + prefix, log);
  run("cmake --build " + build, log);
  CHECK_NOTHROW(Library(plugin_at(build + "/libtenure_policy_template.so"), HostLoan{}));
}

TEST_CASE("new project - no trace of the name it was copied from") {
  const TemporaryFolder folder;
  for (const fs::path& file : create_project(PluginKind::policy, "my-own_2", folder.path() / "p", "")) {
    CAPTURE(file.string());
    CHECK_FALSE(contains(file.filename().string(), "template"));
    CHECK_FALSE(contains(read_file(file), "template"));
  }
}

TEST_CASE("new project - refuses bad names, full folders and kinds it has no project for") {
  const TemporaryFolder folder;
  for (const char* name : {"", "Mine", "1st", "a b", "../x", "a.b"}) {
    CAPTURE(name);
    CHECK(error_of([&] { create_project(PluginKind::policy, name, folder.path() / "x", ""); }).code ==
          Code::usage);
  }
  CHECK(error_of([&] { create_project(PluginKind::backend, "x", folder.path() / "x", ""); }).code ==
        Code::usage);
  CHECK_FALSE(fs::exists(folder.path() / "x"));
  write_file(folder.path() / "there", "already");
  CHECK(error_of([&] { create_project(PluginKind::policy, "x", folder.path(), ""); }).code ==
        Code::cannot_create);
  CHECK(read_file(folder.path() / "there") == "already");
}

}  // namespace tenure::test
