// tenure bench: speed and memory of a model with a policy on this machine.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "bench/measure.h"
#include "bench/report.h"
#include "cli/commands.h"
#include "cli/plan_loading.h"
#include "cli/streams.h"
#include "error/error.h"
#include "record/file_io.h"

namespace tenure::cli {
namespace {

constexpr uint32_t max_count = 1u << 24;

uint32_t count_in(const std::string& option, std::string_view text, uint32_t least) {
  uint32_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc() && stop == end && value >= least && value <= max_count) return value;
  throw Error(Code::usage,
              fmt::format("--{}: \"{}\" is no whole number from {} to {}", option, text, least, max_count));
}

uint32_t count_of(const Arguments& arguments, const std::string& option, uint32_t least, uint32_t otherwise) {
  const std::optional<std::string> text = arguments.get(option);
  return text ? count_in(option, *text, least) : otherwise;
}

// "1,512"
std::vector<uint32_t> counts_of(const Arguments& arguments, const std::string& option,
                                std::vector<uint32_t> otherwise) {
  const std::optional<std::string> text = arguments.get(option);
  if (!text) return otherwise;
  std::vector<uint32_t> counts;
  for (size_t at = 0; at <= text->size();) {
    const size_t comma = std::min(text->find(',', at), text->size());
    counts.push_back(count_in(option, std::string_view(*text).substr(at, comma - at), 1));
    at = comma + 1;
  }
  return counts;
}

BenchSettings settings_of(const Arguments& arguments) {
  if (!arguments.has("model")) throw Error(Code::usage, "\"tenure bench\" needs -m MODEL");
  BenchSettings settings{.model = *arguments.get("model"), .policies = arguments.all("policy")};
  settings.backend = arguments.get("backend").value_or("");
  settings.budget = arguments.get("budget").value_or("");
  if (!settings.budget.empty() && settings.policies.empty()) {
    throw Error(Code::usage, "--budget needs a --policy that releases slots");
  }
  settings.kv_type = arguments.get("kv").value_or(settings.kv_type);
  settings.memory = arguments.get("memory").value_or(settings.memory);
  settings.chunk = count_of(arguments, "chunk", 1, settings.chunk);
  settings.period = count_of(arguments, "period", 1, settings.period);
  settings.threads = count_of(arguments, "threads", 0, settings.threads);
  settings.prompts = counts_of(arguments, "prompt", settings.prompts);
  settings.sequences = counts_of(arguments, "sequences", settings.sequences);
  settings.generate = count_of(arguments, "generate", 0, settings.generate);
  settings.repeat = count_of(arguments, "repeat", 1, settings.repeat);
  return settings;
}

int bench(const Arguments& arguments) {
  const bool to_file = !arguments.positional().empty();
  if (to_file && !arguments.has("json")) {
    throw Error(Code::usage, fmt::format("\"tenure bench\" does not take \"{}\"; a file goes with --json",
                                         arguments.positional().front()));
  }
  const BenchSettings settings = settings_of(arguments);
  if (to_file) check_can_create(arguments.positional().front());
  keep_stdout();
  const BenchKind kind = arguments.has("kernels") ? BenchKind::ops : BenchKind::workloads;
  const BenchReport report =
      measure(plugin_search(arguments), settings, kind, [](std::string_view text) { print_error(text); });
  if (!arguments.has("json")) {
    print(report_text(report));
  } else if (to_file) {
    replace_file(arguments.positional().front(), report_json(report));
  } else {
    print(report_json(report));
  }
  return exit_ok;
}

}  // namespace

Command bench_command() {
  return {
      .name = "bench",
      .max_operands = 1,
      .summary = "how fast a model is here, and how far from the limit",
      .help =
          "  tenure bench -m model.gguf\n"
          "  tenure bench -m model.gguf --prompt 8000 --policy full --policy streaming_llm --budget 1024\n"
          "  tenure bench -m model.gguf --prompt 1500 --generate 256 --policy full --policy h2o --budget 1024\n"
          "  tenure bench -m model.gguf --kernels                      each op of the backend alone\n"
          "  tenure bench -m model.gguf --json bench.json",
      .options =
          {{.name = "model", .letter = 'm', .argument = "MODEL", .help = "a model file"},
           {.name = "policy",
            .argument = "ID",
            .help = "a policy plugin; without one nothing is released",
            .repeatable = true},
           {.name = "budget",
            .argument = "B",
            .help = "of policies that release: slots, \"1/8\" or \"24 MiB\""},
           {.name = "chunk", .argument = "N", .help = "prompt tokens between two decisions"},
           {.name = "period", .argument = "N", .help = "decode steps between two decisions"},
           {.name = "prompt", .letter = 'p', .argument = "N,…", .help = "tokens a sequence is fed (1,512)"},
           {.name = "generate", .letter = 'n', .argument = "N", .help = "tokens it then generates (64)"},
           {.name = "sequences", .argument = "N,…", .help = "at the same time (1)"},
           {.name = "repeat", .letter = 'r', .argument = "N", .help = "of each workload (5)"},
           {.name = "kernels", .help = "time the backend's ops instead of whole runs"},
           {.name = "threads", .letter = 't', .argument = "N", .help = "0 = what the process may use (0)"},
           {.name = "kv", .argument = "f16|bf16|f32|q8_0|q4", .help = "element type of the KV cache (f16)"},
           {.name = "memory", .argument = "SIZE", .help = "most KV bytes (8 GiB)"},
           {.name = "backend", .argument = "ID", .help = "a backend plugin"},
           {.name = "json", .help = "one JSON object; a file name behind it: there"},
           {.name = "plugin-dir",
            .argument = "DIR",
            .help = "search plugins there first",
            .repeatable = true}},
      .run = bench};
}

}  // namespace tenure::cli
