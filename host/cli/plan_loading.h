// From the words of a command line to a Plan: validate, plan, graph and run share this one way.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/command_line.h"
#include "plan/plan.h"
#include "plugin/find.h"

namespace tenure::cli {

// --backend, --set and --plugin-dir: what every command that takes a PIPELINE understands.
std::vector<Option> pipeline_options();
// pipeline_options() and a command's own.
std::vector<Option> pipeline_options_and(std::vector<Option> more);

// A pipeline and what changes its values: a file, or a text that is not one (resume, generate).
struct PipelineSource {
  std::string file;    // empty: `text` is the pipeline
  std::string text;
  std::string name;    // what errors call the text
  std::string folder;  // relative paths in the text start here; absolute
  std::vector<std::string> set;
  std::optional<uint64_t> limit;
};
Plan plan_of(const PipelineSource& source, const PluginSearch& search);
// What the words say: the first operand, --set, --backend, --limit.
PipelineSource pipeline_source(const Arguments& arguments);

struct LoadedPlan {
  Plan plan;
  PluginSearch search;  // in which the plan's plugins were found
};

// The PIPELINE is the first operand; --limit counts where the command has it. Throws Error with every
// finding. Main thread only.
LoadedPlan load_pipeline(const Arguments& arguments);

// Folders of --plugin-dir first, then those that are always searched.
PluginSearch plugin_search(const Arguments& arguments);

// The plugin that the first operand means, an id or a file. Throws Error (69).
PluginFile plugin_operand(const Arguments& arguments);

// The value of an option that is a number of things; throws Error(usage) for anything else.
std::optional<uint64_t> count_option(const Arguments& arguments, const std::string& option);

}  // namespace tenure::cli
