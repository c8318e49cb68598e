// Where plugins are looked for, and what was found: manifests are read, no plugin code runs.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "manifest/manifest.h"

namespace tenure {

// A library and the manifest beside it.
struct PluginFile {
  std::filesystem::path library;  // absolute
  std::filesystem::path manifest_file;
  PluginManifest manifest;
};

struct SearchFolder {
  std::filesystem::path path;  // absolute
  std::string origin;          // "--plugin-dir", "beside the program", "user", "system", "TENURE_PLUGIN_PATH"
};

// In search order: `plugin_dirs`, ../lib/tenure/plugins of the program, $XDG_DATA_HOME/tenure/plugins
// (default
// ~/.local/share), the install prefix's, TENURE_PLUGIN_PATH (ignored in a privileged process; relative
// entries are dropped: the current directory is never searched). Each folder once.
std::vector<SearchFolder> search_folders(const std::vector<std::filesystem::path>& plugin_dirs = {});

enum class CandidateVerdict {
  taken,      // its id means this plugin
  skipped,    // it cannot be used
  shadowed,   // an earlier folder has its id
  duplicate,  // its own folder has its id twice
};

// A library or a manifest that lay in a searched folder.
struct Candidate {
  std::filesystem::path library;
  size_t folder = 0;               // index into PluginSearch::folders
  std::optional<PluginFile> file;  // absent: skipped
  CandidateVerdict verdict = CandidateVerdict::skipped;
  std::string reason;  // one line; empty when taken
};

struct PluginSearch {
  std::vector<SearchFolder> folders;
  std::vector<std::string> folder_notes;  // (folders) "absent", "unreadable: …", or empty
  std::vector<Candidate> candidates;      // by folder, then file name

  // The plugin that `id` names. Throws plugin_not_found (with the nearest id and the folders),
  // plugin_duplicate (twice in the folder that would win, naming both files), plugin_refused (it is of the
  // other kind).
  const PluginFile& find(std::string_view id, PluginKind kind) const;
};

PluginSearch search_plugins(std::vector<SearchFolder> folders);

// The library at this path with the manifest beside it (libX.so → libX.toml). Throws plugin_not_found,
// plugin_manifest, plugin_refused.
PluginFile plugin_at(const std::filesystem::path& library);

// The pipeline's `plugin = "…"`: a path if it has a '/', else an id.
PluginFile resolve_plugin(const PluginSearch&, std::string_view id_or_path, PluginKind kind);

}  // namespace tenure
