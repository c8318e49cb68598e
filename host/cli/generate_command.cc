// tenure generate: one prompt, tokens stream to the terminal, then one line of KV figures.
#include <fmt/format.h>

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <optional>

#include "cli/commands.h"
#include "cli/plan_loading.h"
#include "cli/signals.h"
#include "cli/streams.h"
#include "error/error.h"
#include "graph/prompt_settings.h"
#include "graph/runtime.h"
#include "plan/load.h"
#include "session/prompt.h"

namespace tenure::cli {
namespace {

// The command is a pipeline of one stage, so that every key means what it means there.
std::string pipeline_of(const Arguments& arguments) {
  std::string toml = fmt::format("tenure = 1\n[model]\npath = {}\n[backend]\nthreads = {}\n",
                                 toml_string(std::filesystem::absolute(*arguments.get("model")).string()),
                                 arguments.get("threads").value_or("0"));
  if (const auto backend = arguments.get("backend")) toml += fmt::format("plugin = {}\n", toml_string(*backend));
  const auto policy = arguments.get("policy");
  if (policy) toml += fmt::format("[policy.p]\nplugin = {}\n", toml_string(*policy));
  if (const auto budget = arguments.get("budget")) {
    if (!policy) throw Error(Code::usage, "--budget needs a --policy that releases slots");
    const bool number = budget->find_first_not_of("0123456789") == std::string::npos;
    toml += fmt::format("budget = {}\n", number ? *budget : toml_string(*budget));
  }
  toml += "[[stage]]\nid = \"prompt\"\nkind = \"read_jsonl\"\npath = \"-\"\n";
  toml += fmt::format("[[stage]]\nid = \"answer\"\nkind = \"generate\"\nfrom = \"prompt\"\n{}chat = {}\n",
                      policy ? "policy = \"p\"\n" : "", arguments.has("raw") ? "false" : "true");
  toml += fmt::format("max_new_tokens = {}\ntemperature = {}\nseed = {}\n", arguments.get("max-new-tokens").value_or("256"),
                      arguments.get("temperature").value_or("0.0"), arguments.get("seed").value_or("0"));
  return toml;
}

// The engine's thread fills it, the command's waits.
struct Outcome {
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<SessionResult> result;
};

std::string figures_line(const SessionResult& result, double full) {
  const auto rate = [](uint64_t n, std::chrono::nanoseconds d) {
    return d.count() > 0 ? static_cast<double>(n) / std::chrono::duration<double>(d).count() : 0.0;
  };
  const double mib = 1048576.0;
  return fmt::format("[{} + {} tokens | prefill {:.0f} tok/s, decode {:.0f} tok/s | KV peak {:.2f} MiB of {:.2f}, released {} slots]",
                     result.n_fed - result.times.n_decoded, result.n_generated, rate(result.times.n_prefilled, result.times.prefill),
                     rate(result.times.n_decoded, result.times.decode), static_cast<double>(result.peak_bytes) / mib, full / mib,
                     result.released);
}

int generate(const Arguments& arguments) {
  if (!arguments.has("model") || !arguments.has("prompt")) {
    throw Error(Code::usage, "\"tenure generate\" needs -m MODEL and -p TEXT");
  }
  keep_stdout();
  PluginSearch search = plugin_search(arguments);
  const Plan plan = plan_of({.text = pipeline_of(arguments), .name = "generate", .folder = std::filesystem::current_path().string()}, search);
  const CellPlan& cell = plan.cells.front();
  Runtime runtime(std::move(search), [](uint32_t, std::string_view id, std::string_view text) { print_error(fmt::format("{}: {}", id, text)); });
  runtime.load(cell);
  const PromptSettings settings = prompt_settings(cell.stages.back(), runtime, {});
  const PromptMaker prompts(runtime.language(), runtime.model_info().config().n_ctx);
  Request request{.id = "prompt", .input = *arguments.get("prompt")};
  std::variant<SessionScript, RowError> made = prompts.make(request, settings, "");
  if (const auto* error = std::get_if<RowError>(&made)) throw Error(Code::bad_request_line, error->message);
  auto script = std::make_shared<SessionScript>(PromptMaker::sample_of(std::get<SessionScript>(made), 0));
  script->on_text = [](const std::string& text) { print(text); };

  Outcome outcome;
  auto job = std::make_unique<Job>();
  job->script = script;
  job->on_done = [&](SessionResult&& result) {
    const std::lock_guard lock(outcome.mutex);
    outcome.result = std::move(result);
    outcome.changed.notify_all();
  };
  const std::atomic<bool>& stop = stop_requested();
  runtime.engine().submit(std::move(job));
  std::unique_lock lock(outcome.mutex);
  while (!outcome.result && !stop) outcome.changed.wait_for(lock, std::chrono::milliseconds(50));
  if (!outcome.result) {
    lock.unlock();
    runtime.engine().abandon();
    print("\n");
    return exit_stopped;
  }
  print("\n");
  if (outcome.result->error) print_error(fmt::format("error: {}", outcome.result->error->message));
  print_error(figures_line(*outcome.result, static_cast<double>(outcome.result->full_bytes)));
  const bool failed = outcome.result->error && !outcome.result->policy_dropped;
  return failed ? static_cast<int>(exit_too_many_errors) : static_cast<int>(exit_ok);
}

}  // namespace

Command generate_command() {
  return {.name = "generate",
          .summary = "one prompt, streamed",
          .help = "  tenure generate -m models/smollm2-135m-instruct.gguf -p \"Why is the sky blue?\" --policy streaming_llm --budget 256",
          .options = {{.name = "model", .letter = 'm', .argument = "MODEL", .help = "a GGUF file"},
                      {.name = "prompt", .letter = 'p', .argument = "TEXT", .help = "the user's message"},
                      {.name = "policy", .argument = "ID", .help = "a policy plugin; without one nothing is released"},
                      {.name = "budget", .argument = "B", .help = "slots, a fraction \"1/8\" or bytes \"24 MiB\""},
                      {.name = "raw", .help = "feed TEXT as it is, without the chat template"},
                      {.name = "max-new-tokens", .letter = 'n', .argument = "N", .help = "at most so many (256)"},
                      {.name = "temperature", .argument = "T", .help = "0 = greedy (0)"},
                      {.name = "seed", .argument = "N", .help = "of the draws (0)"},
                      {.name = "threads", .letter = 't', .argument = "N", .help = "0 = what the process may use (0)"},
                      {.name = "backend", .argument = "ID", .help = "a backend plugin"},
                      {.name = "plugin-dir", .argument = "DIR", .help = "look for plugins here first", .repeatable = true}},
          .run = generate};
}

}  // namespace tenure::cli
