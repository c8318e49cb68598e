// tenure plugin check: is a plugin what it says, and does it keep the rules of its kind?
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "check/check_plugin.h"
#include "check/checks.h"
#include "check/child.h"
#include "check/notes.h"
#include "cli/commands.h"
#include "cli/demo_folder.h"
#include "cli/plan_loading.h"
#include "cli/streams.h"
#include "error/error.h"
#include "plan/load.h"
#include "record/file_io.h"

namespace tenure::cli {
namespace {

namespace fs = std::filesystem;

// What the checks themselves vary.
constexpr const char* own_keys[] = {"plugin", "budget",    "budget_scope",   "chunk",
                                    "when",   "positions", "on_plugin_error"};

uint64_t seed_of(const Arguments& arguments) {
  return count_option(arguments, "seed").value_or(1);
}

// --set key=value: of the plugin; --set policy.base.key=value: of a policy that it names, such as one it
// wraps.
void take_set(const std::string& text, SubjectSource& source) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    throw Error(Code::usage, fmt::format("--set takes KEY=VALUE, not \"{}\"", text));
  std::string key = text.substr(0, equals);
  Keys* keys = &source.set;
  if (const size_t last = key.rfind('.'); last != std::string::npos) {
    constexpr std::string_view section = "policy.";
    const bool is_policy = key.starts_with(section) && last > section.size();
    if (!is_policy) throw Error(Code::usage, fmt::format("--set {}: neither KEY nor policy.NAME.KEY", key));
    keys = &source.others[key.substr(section.size(), last - section.size())];
    key.erase(0, last + 1);
  } else if (std::find(std::begin(own_keys), std::end(own_keys), key) != std::end(own_keys)) {
    throw Error(Code::usage, fmt::format("--set {}: the checks choose it themselves", key));
  }
  // As everywhere: the value is TOML, or else a string.
  const std::string value = text.substr(equals + 1);
  double number = 0;
  const auto parsed = std::from_chars(value.data(), value.data() + value.size(), number);
  const bool is_number = parsed.ec == std::errc() && parsed.ptr == value.data() + value.size();
  const bool is_toml =
      is_number || value == "true" || value == "false" || value.starts_with('[') || value.starts_with('"');
  keys->emplace_back(key, is_toml ? value : toml_string(value));
}

SubjectSource source_of(const Arguments& arguments, PluginFile plugin) {
  SubjectSource source{.plugin = std::move(plugin),
                       .model = (demo_folder() / "model.gguf").string(),
                       .windowed_model = (demo_folder() / "windowed_model.gguf").string(),
                       .seed = seed_of(arguments)};
  const std::string backend = arguments.get("backend").value_or("");
  source.backend =
      backend.find('/') == std::string::npos ? backend : fs::absolute(backend).lexically_normal().string();
  for (const std::string& text : arguments.all("set")) take_set(text, source);
  for (const std::string& folder : arguments.all("plugin-dir"))
    source.plugin_dirs.push_back(fs::absolute(folder));
  source.log = [](uint32_t, std::string_view id, std::string_view text) {
    print_error(fmt::format("{}: {}", id, text));
  };
  return source;
}

Rule rule_named(const std::string& id) {
  if (const std::optional<Rule> rule = rule_of(id)) return *rule;
  std::vector<std::string> ids;
  for (const RuleInfo& rule : rules()) ids.emplace_back(rule.id);
  throw Error(Diagnostic{.code = Code::usage,
                         .text = fmt::format("\"{}\" is no rule of `tenure plugin check`", id),
                         .help = "there are: " + fmt::format("{}", fmt::join(ids, ", "))});
}

// One rule in this process: for a debugger, and what a child of the whole list runs.
int check_here(const Arguments& arguments, PluginFile plugin) {
  const Rule rule = rule_named(*arguments.get("rule"));
  keep_stdout();
  SubjectSource source = source_of(arguments, std::move(plugin));
  const char* descriptor = std::getenv(notes_variable);
  if (descriptor == nullptr) {
    const Verdict verdict = run_check(source, rule);
    print(fmt::format("{:<8} {:<16} {}\n", name_of(verdict.outcome), info(rule).id, verdict.text));
    if (verdict.outcome == Outcome::unavailable) return exit_unavailable;
    return verdict.outcome == Outcome::failed || verdict.outcome == Outcome::stopped ? exit_gate : exit_ok;
  }
  become_child();
  const Notes notes(std::atoi(descriptor));
  source.note_hook = [&](const char* hook) { notes.write_hook(hook); };
  notes.write_verdict(run_check(source, rule));
  return exit_ok;
}

// The child's command line, but for the rule.
std::vector<std::string> child_command(const Arguments& arguments, const PluginFile& plugin) {
  std::vector<std::string> words = {fs::read_symlink("/proc/self/exe").string(), "plugin", "check",
                                    plugin.library.string()};
  words.insert(words.end(), {"--seed", std::to_string(seed_of(arguments))});
  for (const char* option : {"backend", "set", "plugin-dir"}) {
    for (const std::string& value : arguments.all(option))
      words.insert(words.end(), {fmt::format("--{}", option), value});
  }
  words.emplace_back("--rule");
  return words;
}

// A parameter without a default must come from --set, or no check could create the policy.
void require_parameters(const SubjectSource& source) {
  for (const ParamSpec& spec : source.plugin.manifest.params) {
    const bool is_set = std::any_of(source.set.begin(), source.set.end(),
                                    [&](const auto& set) { return set.first == spec.name; });
    if (spec.default_value || is_set) continue;
    throw Error(Code::usage, fmt::format("parameter \"{0}\" has no default: --set {0}=VALUE", spec.name));
  }
}

int check(const Arguments& arguments) {
  PluginFile plugin = plugin_operand(arguments);
  if (arguments.has("rule")) return check_here(arguments, std::move(plugin));
  const SubjectSource source = source_of(arguments, plugin);
  require_parameters(source);
  validate(source);
  const uint64_t limit = count_option(arguments, "time-limit").value_or(60);
  if (limit == 0 || limit > 86400) throw Error(Code::usage, "--time-limit takes 1 to 86400 seconds");
  const CheckReport report = check_plugin({.plugin = plugin,
                                           .seed = seed_of(arguments),
                                           .time_limit = std::chrono::seconds(limit),
                                           .command = child_command(arguments, plugin)});
  if (const auto file = arguments.get("junit")) replace_file(fs::absolute(*file).string(), junit_of(report));
  print(arguments.has("json") ? json_of(report) : text_of(report));
  return report.exit_code();
}

}  // namespace

Command plugin_check_command() {
  return {.name = "plugin check",
          .operands = "ID|FILE",
          .min_operands = 1,
          .max_operands = 1,
          .summary = "try a plugin against the rules of its kind",
          .help =
              "  tenure plugin check ./build/libtenure_policy_mine.so\n"
              "  gdb --args tenure plugin check ./build/libtenure_policy_mine.so --rule budget\n\n"
              "Each check runs in a process of its own. Exit code 100: a rule is broken; 69: the plugin is "
              "refused.",
          .options = {{.name = "seed", .argument = "N", .help = "of prompts and draws (1)"},
                      {.name = "set",
                       .argument = "KEY=VALUE",
                       .help = "a parameter of the plugin",
                       .repeatable = true},
                      {.name = "json", .help = "the result as JSON"},
                      {.name = "junit", .argument = "FILE", .help = "also write it as JUnit XML"},
                      {.name = "rule", .argument = "RULE", .help = "this check only, in this process"},
                      {.name = "time-limit", .argument = "S", .help = "seconds that a check may take (60)"},
                      {.name = "backend", .argument = "ID", .help = "run a policy on this backend"},
                      {.name = "plugin-dir",
                       .argument = "DIR",
                       .help = "search plugins there first",
                       .repeatable = true}},
          .run = check};
}

}  // namespace tenure::cli
