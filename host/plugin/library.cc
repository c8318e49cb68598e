#include "plugin/library.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <boost/dll/shared_library.hpp>
#include <utility>

#include "error/error.h"
#include "plugin/call.h"
#include "plugin/elf.h"
#include "plugin/safe_file.h"
#include "plugin/table.h"
#include "tensor/sha256.h"

namespace tenure {
namespace {

constexpr const char* entry_symbol = "tenure_library_v1";
using EntryFunction = const tenure_library*();

std::string_view text_of(tenure_str text) {
  return {text.ptr, text.len};
}

[[noreturn]] void refuse_abi(const PluginFile& file, std::string why, std::string help = {}) {
  throw Error(Diagnostic{.code = Code::plugin_abi,
                         .text = fmt::format("{}: {}", file.library.string(), why),
                         .help = std::move(help)});
}

// Used on the manifest's numbers before any code runs, and on the library's own afterwards.
void check_versions(const PluginFile& file, uint32_t major, uint32_t built, uint32_t min) {
  if (major == 0 || built == 0 || min == 0 || min > built) {
    refuse_abi(file, fmt::format("malformed ABI numbers: major {}, built {}, min {}", major, built, min));
  }
  if (major != TENURE_ABI_MAJOR) {
    refuse_abi(file, fmt::format("built for plugin ABI {}, this Tenure has {}", major, TENURE_ABI_MAJOR),
               major > TENURE_ABI_MAJOR ? "update Tenure, or install a build of the plugin for this ABI"
                                        : "install a newer build of the plugin");
  }
  if (min > TENURE_ABI_MINOR) {
    refuse_abi(file,
               fmt::format("needs plugin ABI {}.{} or later, this Tenure has {}.{}", major, min,
                           TENURE_ABI_MAJOR, TENURE_ABI_MINOR),
               "update Tenure");
  }
}

std::string check_file(const SafeFile& opened, const PluginFile& file, std::string_view pipeline_sha256) {
  check_versions(file, file.manifest.abi_major, file.manifest.abi_built, file.manifest.abi_min);
  std::string hash = sha256_file(opened.proc_path());
  const std::pair<std::string_view, const char*> expected[] = {{file.manifest.sha256, "manifest"},
                                                               {pipeline_sha256, "pipeline"}};
  for (const auto& [sha256, who] : expected) {
    if (sha256.empty() || sha256 == hash) continue;
    throw Error(Code::plugin_hash, fmt::format("{}: its sha256 is {}, the {} says {}", file.library.string(),
                                               hash, who, sha256));
  }
  if (const std::string fault = elf_fault(opened.descriptor()); !fault.empty()) {
    throw Error(Code::plugin_load, fmt::format("{}: {}", file.library.string(), fault));
  }
  return hash;
}

// Boost wraps the loader's message and adds a misleading "Bad file descriptor"; the message names the
// descriptor.
std::string loader_message(std::string what, const std::string& proc_path) {
  constexpr std::string_view opening = "(dlerror system message: ";
  if (const size_t start = what.find(opening); start != std::string::npos) {
    const size_t end = what.rfind(')');
    what = what.substr(start + opening.size(), end - start - opening.size());
  }
  if (what.starts_with(proc_path + ": ")) what.erase(0, proc_path.size() + 2);
  return what;
}

const tenure_library* map_and_enter(SafeFile& opened, const PluginFile& file) {
  const std::string proc_path = opened.proc_path();
  const std::string state = opened.state();
  boost::dll::shared_library library;
  try {
    using boost::dll::load_mode::rtld_local;
    using boost::dll::load_mode::rtld_now;
    library.load(proc_path, rtld_now | rtld_local);
  } catch (const std::exception& failure) {
    throw Error(Code::plugin_load,
                fmt::format("{}: {}", file.library.string(), loader_message(failure.what(), proc_path)));
  }
  // Never unloaded: a second reference that nobody drops. The loader knows the library by its descriptor's
  // name, so the number must not come to name another file.
  dlopen(proc_path.c_str(), RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
  opened.keep_open();
  if (opened.state() != state) {
    throw Error(Code::plugin_hash, fmt::format("{} changed while it was loaded", file.library.string()));
  }
  if (!library.has(entry_symbol)) {
    throw Error(Code::plugin_symbol,
                fmt::format("{} does not export {}", file.library.string(), entry_symbol));
  }
  const tenure_library* entry = nullptr;
  throw_unless_ok(call_plugin(file.manifest.id, entry_symbol, [&](tenure_error*) {
    entry = library.get<EntryFunction>(entry_symbol)();
    return TENURE_OK;
  }));
  if (entry == nullptr) refuse_abi(file, fmt::format("{} returned nothing", entry_symbol));
  return entry;
}

void check_manifest_agrees(const PluginFile& file, const tenure_library& entry) {
  const PluginManifest& manifest = file.manifest;
  if (manifest.abi_major != entry.abi_major || manifest.abi_built != entry.abi_minor_built ||
      manifest.abi_min != entry.abi_minor_min) {
    refuse_abi(file, fmt::format("the library says ABI {}, built {}, min {}; its manifest {}, {}, {}",
                                 entry.abi_major, entry.abi_minor_built, entry.abi_minor_min,
                                 manifest.abi_major, manifest.abi_built, manifest.abi_min));
  }
  if (text_of(entry.version) != manifest.version) {
    refuse_abi(file, fmt::format("the library is version {}, its manifest says {}", text_of(entry.version),
                                 manifest.version));
  }
}

}  // namespace

std::string verify_plugin(const PluginFile& file) {
  const SafeFile opened(file.library);
  return check_file(opened, file, {});
}

Library::Library(PluginFile file, HostLoan loan, std::string_view sha256) : file_(std::move(file)) {
  SafeFile opened(file_.library);
  sha256_ = check_file(opened, file_, sha256);
  negotiate(map_and_enter(opened, file_));
  agreed_minor_ = std::min<uint32_t>(TENURE_ABI_MINOR, entry_.abi_minor_built);
  services_ = std::make_unique<HostServices>(id(), agreed_minor_, std::move(loan));
  if (entry_.init == nullptr) return;
  throw_unless_ok(
      call_plugin(id(), "init", [&](tenure_error* error) { return entry_.init(services_->host(), error); }));
}

Library::~Library() {
  if (entry_.fini == nullptr) return;
  call_plugin(id(), "fini", [&](tenure_error*) {
    entry_.fini(services_->host());
    return TENURE_OK;
  });
}

void Library::negotiate(const tenure_library* entry) {
  entry_ = copy_known(entry, id(), "tenure_library");
  check_versions(file_, entry_.abi_major, entry_.abi_minor_built, entry_.abi_minor_min);
  check_manifest_agrees(file_, entry_);
  std::string ids;
  for (uint32_t i = 0; i < entry_.n_plugins && entry_.plugins != nullptr; ++i) {
    if (entry_.plugins[i] == nullptr) refuse_abi(file_, fmt::format("plugin {} of its list is missing", i));
    const tenure_plugin plugin = copy_known(entry_.plugins[i], id(), "tenure_plugin");
    require_slot(plugin.query, id(), "query");
    ids += fmt::format(" {} \"{}\"", text_of(plugin.kind), text_of(plugin.id));
    if (text_of(plugin.id) == id() && text_of(plugin.kind) == name_of(manifest().kind))
      plugin_ = entry_.plugins[i];
  }
  if (plugin_ == nullptr) {
    refuse_abi(file_, fmt::format("its manifest says {} \"{}\", the library has{}", name_of(manifest().kind),
                                  id(), ids.empty() ? " nothing" : ids));
  }
}

const void* Library::query(std::string_view interface_id, uint32_t min_rev) const {
  const void* table = nullptr;
  throw_unless_ok(call_plugin(id(), "query", [&](tenure_error*) {
    table = plugin_->query(plugin_, {interface_id.data(), interface_id.size()}, min_rev);
    return TENURE_OK;
  }));
  return table;
}

}  // namespace tenure
