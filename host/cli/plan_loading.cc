#include "cli/plan_loading.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <map>
#include <utility>

#include "error/error.h"
#include "plan/load.h"

namespace tenure::cli {
namespace {

namespace fs = std::filesystem;

// Manifests by id or path, alive as long as the plan is read.
class Manifests {
 public:
  explicit Manifests(const PluginSearch& search) : search_(search) {}

  const PluginManifest* find(std::string_view plugin, PluginKind kind) {
    const auto key = std::pair(std::string(plugin), kind);
    auto it = files_.find(key);
    if (it == files_.end()) it = files_.emplace(key, resolve_plugin(search_, plugin, kind)).first;
    return &it->second.manifest;
  }

 private:
  const PluginSearch& search_;
  std::map<std::pair<std::string, PluginKind>, PluginFile> files_;
};

// A path on the command line is relative to the current directory, unlike one in a pipeline.
std::string backend_override(const std::string& backend) {
  const bool is_path = backend.find('/') != std::string::npos;
  return "backend.plugin=" + (is_path ? fs::absolute(backend).lexically_normal().string() : backend);
}

}  // namespace

std::vector<Option> pipeline_options() {
  return {
      {.name = "backend",
       .argument = "ID",
       .help = "backend plugin, instead of the pipeline's: an id or a path"},
      {.name = "set",
       .argument = "KEY=VALUE",
       .help = "change a value: policy.x.budget=1/8",
       .repeatable = true},
      {.name = "plugin-dir", .argument = "DIR", .help = "search plugins there first", .repeatable = true},
  };
}

std::vector<Option> pipeline_options_and(std::vector<Option> more) {
  std::vector<Option> options = pipeline_options();
  options.insert(options.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  return options;
}

PluginSearch plugin_search(const Arguments& arguments) {
  std::vector<fs::path> folders;
  for (const std::string& folder : arguments.all("plugin-dir")) folders.push_back(fs::absolute(folder));
  return search_plugins(search_folders(folders));
}

PluginFile plugin_operand(const Arguments& arguments) {
  const std::string& word = arguments.positional().front();
  // A file name without a folder is a file too: nobody means an id by "libx.so".
  if (word.find('/') != std::string::npos || word.ends_with(".so")) return plugin_at(fs::absolute(word));
  const PluginSearch search = plugin_search(arguments);
  // An id may be a policy's or a backend's; ids of both kinds share one space.
  for (const Candidate& candidate : search.candidates) {
    const bool taken = candidate.verdict == CandidateVerdict::taken;
    if (taken && candidate.file->manifest.id == word) return *candidate.file;
  }
  return search.find(word, PluginKind::policy);  // throws, and says why
}

std::optional<uint64_t> count_option(const Arguments& arguments, const std::string& option) {
  const std::optional<std::string> text = arguments.get(option);
  if (!text) return std::nullopt;
  uint64_t value = 0;
  const char* end = text->data() + text->size();
  const auto [stop, error] = std::from_chars(text->data(), end, value);
  if (error != std::errc() || stop != end || text->empty()) {
    throw Error(Code::usage, fmt::format("--{} takes a whole number, not \"{}\"", option, *text));
  }
  return value;
}

Plan plan_of(const PipelineSource& source, const PluginSearch& search) {
  Manifests manifests(search);
  PlanOptions options;
  options.manifests = [&](std::string_view plugin, PluginKind kind) { return manifests.find(plugin, kind); };
  options.set = source.set;
  options.limit = source.limit;
  return source.file.empty() ? parse_plan(source.text, source.name, source.folder, options) : load_plan(source.file, options);
}

PipelineSource pipeline_source(const Arguments& arguments) {
  PipelineSource source{.file = arguments.positional().front(), .set = arguments.all("set")};
  if (const auto backend = arguments.get("backend")) source.set.push_back(backend_override(*backend));
  source.limit = count_option(arguments, "limit");
  return source;
}

LoadedPlan load_pipeline(const Arguments& arguments) {
  LoadedPlan loaded{.plan = {}, .search = plugin_search(arguments)};
  loaded.plan = plan_of(pipeline_source(arguments), loaded.search);
  return loaded;
}

}  // namespace tenure::cli
