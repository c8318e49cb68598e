// Everything the loader refuses, one by one, each with one line that says why; and what it must not refuse.
#include "plugin/library.h"

#include "tensor/sha256.h"
#include "unit/plugin/plugin_fixture.h"

namespace tenure::test {
namespace {

Diagnostic refusal(const fs::path& library, std::string_view sha256 = {}) {
  const Diagnostic refused = error_of([&] { Library(plugin_at(library), HostLoan{}, sha256); });
  CHECK(contains(refused.text, library.stem().string()));
  CHECK(refused.text.find('\n') == std::string::npos);
  CHECK(info(refused.code).exit_code == exit_unavailable);
  return refused;
}

}  // namespace

TEST_CASE("library - a sound plugin is loaded, hashed and named") {
  const fs::path path = built("plugins", "policy_h2o");
  const Library library(plugin_at(path), HostLoan{});
  CHECK(library.id() == "h2o");
  CHECK(library.agreed_minor() == 1);
  CHECK(library.sha256() == sha256_file(path.string()));
  CHECK(library.services().host()->abi_minor == 1);
  CHECK(library.query("tenure.policy/1", 1) != nullptr);
  CHECK(library.query("tenure.policy/1", 2) == nullptr);
  CHECK(library.query("tenure.policy/1x", 1) == nullptr);
  CHECK(library.query("tenure.backend/1", 1) == nullptr);
}

TEST_CASE("library - every plugin of this build is healthy and loads") {
  const fs::path folder = built("plugins", "policy_full").parent_path();
  const PluginSearch search = search_plugins({{folder, "test"}});
  CHECK(search.candidates.size() >= 4);
  for (const Candidate& candidate : search.candidates) {
    CAPTURE(candidate.library.string());
    CAPTURE(candidate.reason);
    REQUIRE(candidate.verdict == CandidateVerdict::taken);
    CHECK_NOTHROW(Library(*candidate.file, HostLoan{}));
  }
}

TEST_CASE("library - another ABI major is refused") {
  const Diagnostic refused = refusal(test_plugin("abi_wrong_major"));
  CHECK(refused.code == Code::plugin_abi);
  CHECK(contains(refused.text, "built for plugin ABI 2, this Tenure has 1"));
}

TEST_CASE("library - another ABI major in the manifest is refused before the file is looked at") {
  const TemporaryFolder folder;
  const fs::path library = folder.copy(test_plugin("policy_template"), "other");
  write_file(library, "no library at all");
  replace_in(fs::path(library).replace_extension(".toml"), "major = 1", "major = 7");
  CHECK(refusal(library).code == Code::plugin_abi);
}

TEST_CASE("library - a plugin that needs a later minor is refused and the fix is named") {
  const Diagnostic refused = refusal(test_plugin("abi_needs_newer"));
  CHECK(refused.code == Code::plugin_abi);
  CHECK(contains(refused.text, "needs plugin ABI 1.2 or later, this Tenure has 1.1"));
  CHECK(refused.help == "update Tenure");
}

TEST_CASE("library - a library that contradicts its manifest is refused") {
  CHECK(refusal(test_plugin("abi_disagrees")).code == Code::plugin_abi);
  const TemporaryFolder folder;
  const fs::path other_id = folder.copy(test_plugin("policy_template"), "other_id");
  replace_in(fs::path(other_id).replace_extension(".toml"), "id = \"template\"", "id = \"another\"");
  CHECK(contains(refusal(other_id).text,
                 "its manifest says policy \"another\", the library has policy \"template\""));
  const fs::path other_version = folder.copy(test_plugin("policy_template"), "other_version");
  replace_in(fs::path(other_version).replace_extension(".toml"), "version = \"0.1.0\"",
             "version = \"9.9.9\"");
  CHECK(contains(refusal(other_version).text, "9.9.9"));
}

TEST_CASE("library - a library without the entry is no plugin") {
  const Diagnostic refused = refusal(test_plugin("abi_no_symbol"));
  CHECK(refused.code == Code::plugin_symbol);
  CHECK(contains(refused.text, "does not export tenure_library_v1"));
}

TEST_CASE("library - a truncated library is refused, wherever it was cut") {
  const fs::path whole = test_plugin("policy_template");
  const std::string content = read_file(whole);
  for (const size_t kept :
       {size_t{0}, size_t{10}, size_t{64}, size_t{200}, content.size() / 2, content.size() - 1}) {
    CAPTURE(kept);
    const TemporaryFolder folder;
    const fs::path library = folder.copy(whole, "cut");
    fs::resize_file(library, kept);
    const Diagnostic refused = refusal(library);
    CHECK(refused.code == Code::plugin_load);
    CHECK((contains(refused.text, "truncated") || contains(refused.text, "too short")));
  }
}

TEST_CASE("library - a library for another architecture is refused with both names") {
  const TemporaryFolder folder;
  const fs::path library = folder.copy(test_plugin("policy_template"), "foreign");
  std::string content = read_file(library);
  content[18] = static_cast<char>(183);  // e_machine, little-endian: EM_AARCH64
  content[19] = 0;
  write_file(library, content);
  const Diagnostic refused = refusal(library);
  CHECK(refused.code == Code::plugin_load);
  CHECK(contains(refused.text, "built for aarch64, this machine is x86_64"));
  content[4] = 1;  // ELFCLASS32
  write_file(library, content);
  CHECK(contains(refusal(library).text, "32-bit"));
  content[18] = 62;
  content[4] = 2;
  content[16] = 2;  // e_type: ET_EXEC
  write_file(library, content);
  CHECK(contains(refusal(library).text, "not a shared library"));
  write_file(library, std::string(4096, 'x'));
  CHECK(contains(refusal(library).text, "not an ELF file"));
}

TEST_CASE("library - a missing dependency is named without the loader's noise") {
  const TemporaryFolder folder;
  const fs::path library = folder.copy(test_plugin("policy_faulty"), "needy");
  replace_in(library, "libstdc++.so.6", "libstdc++.so.9");
  const Diagnostic refused = refusal(library);
  CHECK(refused.code == Code::plugin_load);
  CHECK(refused.text ==
        library.string() + ": libstdc++.so.9: cannot open shared object file: No such file or directory");
}

TEST_CASE("library - a file or folder that others can write is refused") {
  const TemporaryFolder folder;
  const fs::path library = folder.copy(test_plugin("policy_template"), "open");
  for (const fs::perms bit : {fs::perms::group_write, fs::perms::others_write}) {
    fs::permissions(library, bit, fs::perm_options::add);
    const Diagnostic refused = refusal(library);
    CHECK(refused.code == Code::plugin_unsafe_file);
    CHECK(refused.help == "chmod go-w " + library.string());
    fs::permissions(library, bit, fs::perm_options::remove);
  }
  fs::permissions(folder.path(), fs::perms::others_write, fs::perm_options::add);
  const Diagnostic refused = error_of([&] { Library(plugin_at(library), HostLoan{}); });
  CHECK(refused.code == Code::plugin_unsafe_file);
  CHECK(contains(refused.text, folder.path().string() + " can be written"));
  fs::permissions(folder.path(), fs::perms::sticky_bit, fs::perm_options::add);
  CHECK_NOTHROW(Library(plugin_at(library), HostLoan{}));
}

TEST_CASE("library - something that is no regular file is refused") {
  const TemporaryFolder folder;
  const fs::path library = folder.copy(test_plugin("policy_template"), "folder");
  fs::remove(library);
  fs::create_directory(library);
  CHECK(refusal(library).code == Code::plugin_unsafe_file);
}

TEST_CASE("library - a hash that the manifest or the pipeline gives must be the file's") {
  const TemporaryFolder folder;
  const fs::path library = folder.copy(test_plugin("policy_template"), "hashed");
  const std::string right = sha256_file(library.string());
  const std::string wrong(64, '0');
  CHECK_NOTHROW(Library(plugin_at(library), HostLoan{}, right));
  const Diagnostic of_pipeline = refusal(library, wrong);
  CHECK(of_pipeline.code == Code::plugin_hash);
  CHECK(contains(of_pipeline.text, "the pipeline says " + wrong));
  replace_in(fs::path(library).replace_extension(".toml"), "arch = \"x86_64\"",
             "arch = \"x86_64\"\nsha256 = \"" + wrong + "\"");
  CHECK(contains(refusal(library, right).text, "the manifest says " + wrong));
}

TEST_CASE("library - a file replaced after an earlier load is loaded anew, not found by its old name") {
  const TemporaryFolder folder;
  const fs::path path = folder.copy(test_plugin("policy_template"), "swapped");
  const Library first(plugin_at(path), HostLoan{});
  fs::remove(path);
  fs::remove(fs::path(path).replace_extension(".toml"));
  folder.copy(built("plugins", "policy_full"), "swapped");
  const Library second(plugin_at(path), HostLoan{});
  CHECK(first.id() == "template");
  CHECK(second.id() == "full");
  CHECK(first.sha256() != second.sha256());
}

TEST_CASE("library - a plugin that declines in init is refused in its own words") {
  const Diagnostic refused = error_of([] { Library(plugin_at(test_plugin("abi_init_fails")), HostLoan{}); });
  CHECK(refused.code == Code::plugin_refused);
  CHECK(refused.text == "abi_init_fails.init: UNSUPPORTED: no licence found");
}

TEST_CASE("library - verification for the doctor runs no plugin code") {
  CHECK(verify_plugin(plugin_at(test_plugin("abi_init_fails"))).size() == 64);
  const TemporaryFolder folder;
  const fs::path library = folder.copy(test_plugin("policy_template"), "cut");
  fs::resize_file(library, fs::file_size(library) / 2);
  CHECK(error_of([&] { verify_plugin(plugin_at(library)); }).code == Code::plugin_load);
}

}  // namespace tenure::test
