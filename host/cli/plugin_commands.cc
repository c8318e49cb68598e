// tenure plugin list, show, doctor and new.
#include <fmt/format.h>

#include <filesystem>

#include "cli/commands.h"
#include "cli/plan_loading.h"
#include "cli/streams.h"
#include "error/error.h"
#include "plugin/describe.h"
#include "plugin/new_project.h"

namespace tenure::cli {
namespace {

Option plugin_dir_option() {
  return {.name = "plugin-dir", .argument = "DIR", .help = "search plugins there first", .repeatable = true};
}

int list(const Arguments& arguments) {
  const PluginSearch search = plugin_search(arguments);
  const std::string text = list_text(search);
  if (text.empty()) print_error("no plugins found; `tenure plugin doctor` shows where was searched");
  print(text);
  return exit_ok;
}

int show(const Arguments& arguments) {
  print(show_text(plugin_operand(arguments)));
  return exit_ok;
}

int look(const Arguments& arguments) {
  const PluginHealth health = doctor(plugin_search(arguments));
  print(health.text);
  return health.is_healthy ? exit_ok : exit_unavailable;
}

int create(const Arguments& arguments) {
  const std::string& kind_word = arguments.positional()[0];
  const std::string& name = arguments.positional()[1];
  if (kind_word != "policy") {
    throw Error(Code::usage,
                fmt::format("there is a project to copy for a policy, not for \"{}\"", kind_word));
  }
  const std::filesystem::path folder = arguments.get("dir").value_or(name);
  for (const auto& file : create_project(PluginKind::policy, name, folder, sdk_include_folder()))
    print(file.string() + "\n");
  print_error(
      fmt::format("\nbuild and try it:\n  cmake -S {0} -B {0}/build && cmake --build {0}/build\n"
                  "  tenure plugin check {0}/build/libtenure_policy_{1}.so",
                  folder.string(), name));
  return exit_ok;
}

}  // namespace

Command plugin_list_command() {
  return {.name = "plugin list",
          .summary = "plugins that would be used: id, kind, version",
          .help = "  tenure plugin list\n  tenure plugin list --plugin-dir ./build",
          .options = {plugin_dir_option()},
          .run = list};
}

Command plugin_show_command() {
  return {.name = "plugin show",
          .operands = "ID|FILE",
          .min_operands = 1,
          .max_operands = 1,
          .summary = "a plugin's manifest: needs, defaults, parameters",
          .help = "  tenure plugin show streaming_llm\n  tenure plugin show ./build/libtenure_policy_mine.so",
          .options = {plugin_dir_option()},
          .run = show};
}

Command plugin_doctor_command() {
  return {.name = "plugin doctor",
          .summary = "where plugins are searched, and why one is not used",
          .help = "  tenure plugin doctor --plugin-dir ./build",
          .options = {plugin_dir_option()},
          .run = look};
}

Command plugin_new_command() {
  return {
      .name = "plugin new",
      .operands = "policy NAME",
      .min_operands = 2,
      .max_operands = 2,
      .summary = "start a policy of your own: a project that builds",
      .help = "  tenure plugin new policy mine\n  cmake -S mine -B mine/build && cmake --build mine/build",
      .options = {{.name = "dir", .argument = "DIR", .help = "folder to write to (NAME)"}},
      .run = create};
}

}  // namespace tenure::cli
