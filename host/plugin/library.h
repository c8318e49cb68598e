// A plugin's shared library: verified, loaded, negotiated with, initialised. Never unloaded.
#pragma once

#include <tenure/entry.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "plugin/find.h"
#include "plugin/host_services.h"

namespace tenure {

// The checks of Library's constructor that run no plugin code; returns the sha256 of the file. For `plugin
// doctor`.
std::string verify_plugin(const PluginFile&);

// Plugins print to stdout at their own peril: the command line moves descriptor 1 away before any is loaded,
// so that what they print lands on stderr and never among the rows.
class Library {
 public:
  // Checks the file (regular, owned by root or the user, not writable by group or others, nor is a folder
  // above it unless sticky), its hash where `sha256` or the manifest gives one, and its ELF header; maps the
  // very file that was hashed; calls the entry and init. Throws Error plugin_unsafe_file, plugin_hash,
  // plugin_load, plugin_symbol, plugin_abi, plugin_refused, plugin_failed, each with one line.
  Library(PluginFile file, HostLoan loan, std::string_view sha256 = {});
  // Calls fini. The code stays mapped: unloading crashes where thread-local destructors or callbacks remain.
  ~Library();
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  const PluginManifest& manifest() const { return file_.manifest; }
  const std::string& id() const { return file_.manifest.id; }
  const PluginFile& file() const { return file_; }
  const std::string& sha256() const { return sha256_; }  // of the mapped file, 64 hex digits
  uint32_t agreed_minor() const { return agreed_minor_; }
  const HostServices& services() const { return *services_; }

  // The plugin's table of an interface, or nullptr. Points into the library.
  const void* query(std::string_view interface_id, uint32_t min_rev) const;

 private:
  void negotiate(const tenure_library* entry);

  PluginFile file_;
  std::string sha256_;
  tenure_library entry_{};
  const tenure_plugin* plugin_ = nullptr;
  uint32_t agreed_minor_ = 0;
  std::unique_ptr<HostServices> services_;
};

}  // namespace tenure
