#include "plugin/find.h"

#include <fmt/format.h>
#include <sys/auxv.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "error/error.h"

namespace tenure {
namespace fs = std::filesystem;
namespace {

void add_folder(std::vector<SearchFolder>& folders, fs::path path, std::string origin) {
  std::error_code ignored;
  fs::path real = fs::weakly_canonical(path, ignored);
  if (real.empty()) real = std::move(path);
  for (const SearchFolder& folder : folders) {
    if (folder.path == real) return;
  }
  folders.push_back({std::move(real), std::move(origin)});
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// Only absolute values count: a relative one would mean the current directory.
fs::path user_data_folder() {
  const fs::path data = environment("XDG_DATA_HOME");
  if (data.is_absolute()) return data;
  const fs::path home = environment("HOME");
  return home.is_absolute() ? home / ".local/share" : fs::path();
}

std::string machine() {
  utsname name{};
  return uname(&name) == 0 ? name.machine : "";
}

std::string first_line(const Error& error) {
  const Diagnostic& first = error.diagnostics().front();
  if (first.where.line == 0) return first.text;
  return fmt::format("manifest line {}:{}: {}", first.where.line, first.where.column, first.text);
}

// Empty when the plugin is for this machine.
std::string misfit(const PluginManifest& manifest) {
  const std::string here = machine();
  if (manifest.os == "linux" && manifest.arch == here) return {};
  return fmt::format("it is for {} on {}, this machine is linux on {}", manifest.os, manifest.arch, here);
}

Candidate examine(const fs::path& entry, size_t folder) {
  Candidate candidate{.library = entry, .folder = folder};
  fs::path library = entry, manifest = entry;
  library.replace_extension(".so");
  manifest.replace_extension(".toml");
  if (!fs::exists(library)) {
    candidate.reason = fmt::format("no library {} beside it", library.filename().string());
  } else if (!fs::exists(manifest)) {
    candidate.reason = fmt::format("no manifest {} beside it", manifest.filename().string());
  } else {
    try {
      PluginFile file{library, manifest, read_manifest(manifest)};
      candidate.reason = misfit(file.manifest);
      if (candidate.reason.empty()) candidate.file = std::move(file);
    } catch (const Error& error) {
      candidate.reason = first_line(error);
    }
  }
  return candidate;
}

// Libraries named lib*.so, and manifests lib*.toml whose library is not there.
std::string scan(const fs::path& folder, size_t index, std::vector<Candidate>& candidates) {
  std::error_code failure;
  fs::directory_iterator entries(folder, failure);
  if (failure == std::errc::no_such_file_or_directory) return "absent";
  if (failure) return failure.message();
  std::vector<fs::path> found;
  for (const fs::directory_entry& entry : entries) {
    const fs::path& path = entry.path();
    if (!path.filename().string().starts_with("lib")) continue;
    const bool lone_manifest =
        path.extension() == ".toml" && !fs::exists(fs::path(path).replace_extension(".so"));
    if (path.extension() == ".so" || lone_manifest) found.push_back(path);
  }
  std::sort(found.begin(), found.end());
  for (const fs::path& path : found) candidates.push_back(examine(path, index));
  return {};
}

// Earlier folders win; two of one id in one folder are both out.
void decide(std::vector<Candidate>& candidates) {
  std::map<std::string, Candidate*> winners;
  for (Candidate& candidate : candidates) {
    if (!candidate.file) continue;
    auto [place, is_new] = winners.try_emplace(candidate.file->manifest.id, &candidate);
    Candidate& winner = *place->second;
    if (is_new) {
      candidate.verdict = CandidateVerdict::taken;
    } else if (winner.folder != candidate.folder) {
      candidate.verdict = CandidateVerdict::shadowed;
      candidate.reason = fmt::format("shadowed by {}", winner.library.string());
    } else {
      candidate.verdict = winner.verdict = CandidateVerdict::duplicate;
      candidate.reason = fmt::format("same id as {} in the same folder", winner.library.string());
      winner.reason = fmt::format("same id as {} in the same folder", candidate.library.string());
    }
  }
}

[[noreturn]] void throw_not_found(const PluginSearch& search, std::string_view id, PluginKind kind) {
  std::vector<std::string> ids;
  std::string text = fmt::format("no {} \"{}\"", name_of(kind), id);
  for (const Candidate& candidate : search.candidates) {
    if (candidate.verdict == CandidateVerdict::taken && candidate.file->manifest.kind == kind)
      ids.push_back(candidate.file->manifest.id);
    const bool bears_the_name = candidate.library.stem().string().ends_with(fmt::format("_{}", id));
    if (!candidate.file && bears_the_name)
      text += fmt::format("; {} was skipped: {}", candidate.library.string(), candidate.reason);
  }
  std::string help;
  if (const std::string_view near = nearest(id, ids); !near.empty())
    help = fmt::format("did you mean \"{}\"? ", near);
  help += "searched:";
  for (const SearchFolder& folder : search.folders)
    help += fmt::format(" {} ({})", folder.path.string(), folder.origin);
  throw Error(Diagnostic{.code = Code::plugin_not_found, .text = std::move(text), .help = std::move(help)});
}

[[noreturn]] void throw_duplicate(const PluginSearch& search, const Candidate& first) {
  const std::string& id = first.file->manifest.id;
  std::string text = fmt::format("two plugins with the id \"{}\" in one folder:", id);
  for (const Candidate& candidate : search.candidates) {
    const bool is_twin =
        candidate.file && candidate.folder == first.folder && candidate.file->manifest.id == id;
    if (is_twin) text += " " + candidate.library.string();
  }
  throw Error(Diagnostic{.code = Code::plugin_duplicate,
                         .text = std::move(text),
                         .help = "remove one, or give the path of the one you mean"});
}

void check_kind(const PluginFile& file, PluginKind kind) {
  if (file.manifest.kind == kind) return;
  throw Error(Code::plugin_refused,
              fmt::format("\"{}\" is a {}, not a {} ({})", file.manifest.id, name_of(file.manifest.kind),
                          name_of(kind), file.library.string()));
}

}  // namespace

std::vector<SearchFolder> search_folders(const std::vector<fs::path>& plugin_dirs) {
  std::vector<SearchFolder> folders;
  for (const fs::path& path : plugin_dirs) add_folder(folders, fs::absolute(path), "--plugin-dir");
  std::error_code failure;
  const fs::path program = fs::read_symlink("/proc/self/exe", failure);
  if (!failure) {
    const fs::path prefix = program.parent_path().parent_path();
    add_folder(folders, prefix / "lib/tenure/plugins", "beside the program");
    add_folder(folders, prefix / TENURE_INSTALL_LIBDIR / "tenure/plugins", "beside the program");
  }
  if (const fs::path data = user_data_folder(); !data.empty())
    add_folder(folders, data / "tenure/plugins", "user");
  add_folder(folders, fs::path(TENURE_INSTALL_FULL_LIBDIR) / "tenure/plugins", "system");
  if (getauxval(AT_SECURE) != 0) return folders;
  const std::string extra = environment("TENURE_PLUGIN_PATH");
  for (size_t start = 0; start < extra.size();) {
    const size_t end = std::min(extra.find(':', start), extra.size());
    const fs::path path = extra.substr(start, end - start);
    if (path.is_absolute()) add_folder(folders, path, "TENURE_PLUGIN_PATH");
    start = end + 1;
  }
  return folders;
}

PluginSearch search_plugins(std::vector<SearchFolder> folders) {
  PluginSearch search{.folders = std::move(folders)};
  for (size_t i = 0; i < search.folders.size(); ++i) {
    search.folder_notes.push_back(scan(search.folders[i].path, i, search.candidates));
  }
  decide(search.candidates);
  return search;
}

const PluginFile& PluginSearch::find(std::string_view id, PluginKind kind) const {
  for (const Candidate& candidate : candidates) {
    if (!candidate.file || candidate.file->manifest.id != id) continue;
    if (candidate.verdict == CandidateVerdict::duplicate) throw_duplicate(*this, candidate);
    check_kind(*candidate.file, kind);
    return *candidate.file;
  }
  throw_not_found(*this, id, kind);
}

PluginFile plugin_at(const fs::path& library) {
  const fs::path path = fs::absolute(library).lexically_normal();
  fs::path manifest = path;
  manifest.replace_extension(".toml");
  if (!fs::exists(path))
    throw Error(Code::plugin_not_found, fmt::format("no plugin library at {}", path.string()));
  if (!fs::exists(manifest)) {
    throw Error(Code::plugin_manifest, fmt::format("no manifest {} beside the library", manifest.string()));
  }
  PluginFile file{path, manifest, read_manifest(manifest)};
  if (const std::string reason = misfit(file.manifest); !reason.empty()) {
    throw Error(Code::plugin_refused, fmt::format("{}: {}", path.string(), reason));
  }
  return file;
}

PluginFile resolve_plugin(const PluginSearch& search, std::string_view id_or_path, PluginKind kind) {
  if (id_or_path.find('/') == std::string_view::npos) return search.find(id_or_path, kind);
  PluginFile file = plugin_at(fs::path(id_or_path));
  check_kind(file, kind);
  return file;
}

}  // namespace tenure
