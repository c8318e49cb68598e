#include "plugin/find.h"

#include <stdlib.h>

#include "plugin/describe.h"
#include "unit/plugin/plugin_fixture.h"

namespace tenure::test {
namespace {

PluginSearch search_in(std::vector<fs::path> folders) {
  std::vector<SearchFolder> named;
  for (fs::path& folder : folders) named.push_back({std::move(folder), "test"});
  return search_plugins(std::move(named));
}

}  // namespace

TEST_CASE("find - an id resolves to the library beside its manifest") {
  const PluginSearch search = search_in({built("plugins", "policy_full").parent_path()});
  const PluginFile& file = search.find("streaming_llm", PluginKind::policy);
  CHECK(file.library == built("plugins", "policy_streaming_llm"));
  CHECK(file.manifest.needs.granularity == Granularity::token);
}

TEST_CASE("find - an unknown id names the nearest one and the folders searched") {
  const fs::path folder = built("plugins", "policy_full").parent_path();
  const Diagnostic missing = error_of([&] { search_in({folder}).find("streming_llm", PluginKind::policy); });
  CHECK(missing.code == Code::plugin_not_found);
  CHECK(contains(missing.text, "no policy \"streming_llm\""));
  CHECK(contains(missing.help, "did you mean \"streaming_llm\"?"));
  CHECK(contains(missing.help, folder.string()));
}

TEST_CASE("find - a policy is not a backend") {
  const PluginSearch search = search_in({built("plugins", "policy_full").parent_path()});
  const Diagnostic refused = error_of([&] { search.find("full", PluginKind::backend); });
  CHECK(refused.code == Code::plugin_refused);
  CHECK(contains(refused.text, "\"full\" is a policy, not a backend"));
}

TEST_CASE("find - one id twice in a folder is an error naming both files") {
  const TemporaryFolder folder;
  const fs::path a = folder.copy(test_plugin("policy_template"), "a");
  const fs::path b = folder.copy(test_plugin("policy_template"), "b");
  const PluginSearch search = search_in({folder.path()});
  const Diagnostic twice = error_of([&] { search.find("template", PluginKind::policy); });
  CHECK(twice.code == Code::plugin_duplicate);
  CHECK(info(twice.code).exit_code == exit_plan);
  CHECK(contains(twice.text, a.string()));
  CHECK(contains(twice.text, b.string()));
  CHECK_FALSE(doctor(search).is_healthy);
}

TEST_CASE("find - an earlier folder shadows a later one") {
  const TemporaryFolder early, late;
  const fs::path winner = early.copy(test_plugin("policy_template"), "x");
  late.copy(test_plugin("policy_template"), "x");
  const PluginSearch search = search_in({early.path(), late.path()});
  CHECK(search.find("template", PluginKind::policy).library == winner);
  REQUIRE(search.candidates.size() == 2);
  CHECK(search.candidates[1].verdict == CandidateVerdict::shadowed);
  CHECK(contains(search.candidates[1].reason, winner.string()));
  CHECK(doctor(search).is_healthy);
}

TEST_CASE("find - what cannot be used is skipped with its reason, and does not hide a later plugin") {
  const TemporaryFolder early, late;
  const fs::path bare = early.copy(test_plugin("policy_template"), "bare");
  fs::remove(fs::path(bare).replace_extension(".toml"));
  const fs::path lone = early.copy(test_plugin("policy_template"), "lone");
  fs::remove(lone);
  const fs::path foreign = early.copy(test_plugin("policy_template"), "tenure_policy_template");
  replace_in(fs::path(foreign).replace_extension(".toml"), "x86_64", "riscv64");
  const fs::path broken = early.copy(test_plugin("policy_template"), "broken");
  replace_in(fs::path(broken).replace_extension(".toml"), "kind = \"policy\"", "kind = \"polcy\"");
  write_file(early.path() / "notes.txt", "not a plugin");

  const PluginSearch alone = search_in({early.path()});
  REQUIRE(alone.candidates.size() == 4);  // sorted by name
  CHECK(contains(alone.candidates[0].reason, "no manifest libbare.toml"));
  CHECK(contains(alone.candidates[1].reason, "manifest line 3:"));
  CHECK(contains(alone.candidates[2].reason, "no library liblone.so"));
  CHECK(contains(alone.candidates[3].reason, "it is for linux on riscv64"));
  const Diagnostic missing = error_of([&] { alone.find("template", PluginKind::policy); });
  CHECK(contains(missing.text, foreign.string() + " was skipped: it is for linux on riscv64"));

  const fs::path good = late.copy(test_plugin("policy_template"), "good");
  const PluginSearch both = search_in({early.path(), late.path()});
  CHECK(both.find("template", PluginKind::policy).library == good);
}

TEST_CASE("find - a path is taken as it is, whatever the folders hold") {
  const PluginSearch nothing = search_in({});
  const fs::path path = test_plugin("policy_template");
  CHECK(resolve_plugin(nothing, path.string(), PluginKind::policy).manifest.id == "template");
  CHECK(error_of([&] { resolve_plugin(nothing, path.string(), PluginKind::backend); }).code ==
        Code::plugin_refused);
  CHECK(error_of([&] { resolve_plugin(nothing, "./no/such.so", PluginKind::policy); }).code ==
        Code::plugin_not_found);
  CHECK(error_of([&] { resolve_plugin(nothing, "template", PluginKind::policy); }).code ==
        Code::plugin_not_found);
}

TEST_CASE("find - a library without a manifest cannot be given by path either") {
  const TemporaryFolder folder;
  const fs::path library = folder.copy(test_plugin("policy_template"), "bare");
  fs::remove(fs::path(library).replace_extension(".toml"));
  CHECK(error_of([&] { plugin_at(library); }).code == Code::plugin_manifest);
}

TEST_CASE("find - folders come in their order, each once, and never the current one") {
  const TemporaryFolder extra, data;
  setenv("XDG_DATA_HOME", data.path().c_str(), 1);
  setenv("TENURE_PLUGIN_PATH", (extra.path().string() + "::relative:.:" + extra.path().string()).c_str(), 1);
  const std::vector<SearchFolder> folders = search_folders({extra.path() / "given"});
  unsetenv("TENURE_PLUGIN_PATH");
  unsetenv("XDG_DATA_HOME");
  std::vector<std::string> origins;
  for (const SearchFolder& folder : folders) {
    CHECK(folder.path.is_absolute());
    CHECK(folder.path != fs::current_path());
    if (origins.empty() || origins.back() != folder.origin) origins.push_back(folder.origin);
  }
  CHECK(origins == std::vector<std::string>{"--plugin-dir", "beside the program", "user", "system",
                                            "TENURE_PLUGIN_PATH"});
  CHECK(folders.front().path == extra.path() / "given");
  CHECK(folders[1].path == built("plugins", "policy_full").parent_path());
  CHECK(folders.back().path == extra.path());
}

TEST_CASE("describe - list names every plugin once, show tells needs, defaults and parameters") {
  const PluginSearch search = search_in({built("plugins", "policy_full").parent_path()});
  const std::string list = list_text(search);
  for (const char* id : {"full ", "h2o ", "random ", "streaming_llm "}) {
    CHECK(contains("\n" + list, "\n" + std::string(id)));
  }
  const std::string h2o = show_text(search.find("h2o", PluginKind::policy));
  CHECK(contains(h2o, "attention_mass"));
  CHECK(contains(h2o, "n_recent              1/2"));
  const std::string own = show_text(plugin_at(test_plugin("policy_template")));
  CHECK(contains(own, "decay                 float, default 0.9, at least 0, at most 1"));
}

TEST_CASE("describe - the doctor names the fix for a file that others can write") {
  const TemporaryFolder folder;
  const fs::path library = folder.copy(test_plugin("policy_template"), "open");
  CHECK(doctor(search_in({folder.path()})).is_healthy);
  fs::permissions(library, fs::perms::others_write, fs::perm_options::add);
  const PluginHealth health = doctor(search_in({folder.path(), folder.path() / "absent"}));
  CHECK_FALSE(health.is_healthy);
  CHECK(contains(health.text, "refused  policy template"));
  CHECK(contains(health.text, "fix: chmod go-w " + library.string()));
  CHECK(contains(health.text, "absent (test): absent"));
}

}  // namespace tenure::test
