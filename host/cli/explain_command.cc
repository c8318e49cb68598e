// tenure explain: what a numbered error, or an exit code, means.
#include <fmt/format.h>

#include <charconv>
#include <optional>

#include "cli/commands.h"
#include "cli/streams.h"
#include "error/error.h"

namespace tenure::cli {
namespace {

struct ExitMeaning {
  int code;
  std::string_view meaning;
};

constexpr ExitMeaning exit_meanings[] = {
    {exit_ok, "all went well."},
    {exit_usage, "usage: the command line cannot be understood."},
    {exit_data, "bad data: an input, model or run file is malformed or not supported."},
    {exit_no_input, "no input: a file that should be read is missing or unreadable."},
    {exit_unavailable, "a plugin or backend is missing or was refused."},
    {exit_internal, "an internal error, or a plugin crashed. Worth a retry; please report it."},
    {exit_cannot_create, "a file or directory cannot be created."},
    {exit_io, "an I/O error, such as a full disk. Rows written before it are safe; run again to go on."},
    {exit_stopped, "stopped before the end, by a signal or because RUN is locked; run again to go on."},
    {exit_plan, "the pipeline or its plan is wrong, or RUN was started with another one."},
    {exit_gate, "the run is complete, and a gate failed; or a run changed more than `tenure compare --fail-if` allows."},
    {exit_too_many_errors, "the run is complete, with more error rows than [run] max_errors allows."},
    {130, "ended at once by a second SIGINT. Run again to go on."},
    {143, "ended at once by a second SIGTERM. Run again to go on."},
};

// Numbers above any code of ours end the search.
constexpr uint16_t last_code = 999;

std::string code_text(const CodeInfo& info) {
  return fmt::format("E{:04}: {} (exit code {})\n\n{}\n", static_cast<uint16_t>(info.code), info.title,
                     info.exit_code, info.explanation);
}

const ExitMeaning* find_exit(int code) {
  for (const ExitMeaning& meaning : exit_meanings) {
    if (meaning.code == code) return &meaning;
  }
  return nullptr;
}

std::string exit_text(const ExitMeaning& meaning) {
  std::string text = fmt::format("exit code {}: {}\n", meaning.code, meaning.meaning);
  if (meaning.code == exit_ok) return text;
  std::string causes;
  for (uint16_t number = 1; number <= last_code; ++number) {
    const CodeInfo* info = find_code(number);
    if (info && info->exit_code == meaning.code) causes += fmt::format("  E{:04} {}\n", number, info->title);
  }
  return causes.empty() ? text : text + "\nErrors that lead to it:\n" + causes;
}

std::string all_codes() {
  std::string text;
  for (uint16_t number = 1; number <= last_code; ++number) {
    if (const CodeInfo* info = find_code(number))
      text += fmt::format("E{:04}  {:>3}  {}\n", number, info->exit_code, info->title);
  }
  for (const ExitMeaning& meaning : exit_meanings)
    text += fmt::format("{:<5}       exit code: {}\n", meaning.code, meaning.meaning);
  return text;
}

std::optional<uint16_t> number_in(std::string_view word) {
  uint16_t number = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
  return number;
}

int explain(const Arguments& arguments) {
  if (arguments.positional().empty()) {
    print(all_codes());
    return exit_ok;
  }
  const std::string& word = arguments.positional().front();
  const bool is_error = word.starts_with('E') || word.starts_with('e');
  const std::optional<uint16_t> number = number_in(std::string_view(word).substr(is_error ? 1 : 0));
  const CodeInfo* info = number ? find_code(*number) : nullptr;
  // "101" is both; "0101" can only be the error.
  const bool may_be_exit = number && !is_error && !(word.size() > 1 && word.starts_with('0'));
  const ExitMeaning* meaning = may_be_exit ? find_exit(*number) : nullptr;
  if (!info && !meaning) {
    throw Error(Diagnostic{.code = Code::usage,
                           .text = fmt::format("\"{}\" is neither an error code nor an exit code", word),
                           .help = "`tenure explain` lists them"});
  }
  std::string text = meaning ? exit_text(*meaning) : std::string();
  if (info) text += (text.empty() ? "" : "\n") + code_text(*info);
  print(text);
  return exit_ok;
}

}  // namespace

Command explain_command() {
  return {.name = "explain",
          .operands = "CODE",
          .min_operands = 0,
          .max_operands = 1,
          .summary = "what an error code or an exit code means",
          .help = "  tenure explain E0107\n  tenure explain 78\n  tenure explain            all of them",
          .run = explain};
}

}  // namespace tenure::cli
