// tenure eval: what a policy and a budget cost a model in answers.
#include <fmt/format.h>

#include <filesystem>

#include "cli/commands.h"
#include "cli/eval_pipeline.h"
#include "cli/plan_loading.h"
#include "cli/signals.h"
#include "cli/streams.h"
#include "error/error.h"
#include "eval/eval_report.h"
#include "eval/suite.h"
#include "eval/text_lines.h"
#include "graph/runtime.h"
#include "record/file_io.h"

namespace tenure::cli {
namespace {

namespace fs = std::filesystem;

// What scripts/fetch_text.sh leaves.
constexpr const char* default_text = "data/eval/debian-handbook.txt";
constexpr uint64_t max_count = 1u << 20;

struct EvalSettings {
  EvalPolicies policies;
  std::vector<std::string> texts;
  Suite suite = Suite::all;
  DocumentSettings documents;
  SuiteSizes sizes;
};

uint32_t count_of(const Arguments& arguments, const std::string& option, uint64_t least, uint32_t otherwise) {
  const uint64_t value = count_option(arguments, option).value_or(otherwise);
  if (value >= least && value <= max_count) return static_cast<uint32_t>(value);
  throw Error(Code::usage, fmt::format("--{} takes a whole number from {} to {}, not {}", option, least,
                                       max_count, value));
}

// "1/2,1/4": what is given at once and what is given again are the same.
std::vector<std::string> list_of(const Arguments& arguments, const std::string& option) {
  std::vector<std::string> values;
  for (const std::string& text : arguments.all(option)) {
    for (size_t at = 0; at <= text.size();) {
      const size_t comma = std::min(text.find(',', at), text.size());
      values.push_back(text.substr(at, comma - at));
      at = comma + 1;
    }
  }
  return values;
}

Suite suite_of(const Arguments& arguments) {
  const std::string name = arguments.get("suite").value_or("all");
  if (name == "all") return Suite::all;
  if (name == "retrieval") return Suite::retrieval;
  if (name == "text") return Suite::text;
  throw Error(Code::usage, fmt::format("--suite is all, retrieval or text, not \"{}\"", name));
}

SuiteSizes sizes_of(const Arguments& arguments) {
  SuiteSizes sizes;
  sizes.n_text = count_of(arguments, "documents", 0, sizes.n_text);
  if (arguments.has("noise")) sizes.n_noise = count_of(arguments, "noise", 0, 0);
  if (arguments.has("sentences")) sizes.n_sentences = count_of(arguments, "sentences", 0, 0);
  return sizes;
}

EvalSettings settings_of(const Arguments& arguments) {
  if (!arguments.has("model")) throw Error(Code::usage, "\"tenure eval\" needs -m MODEL");
  EvalSettings settings{.policies = {.model = *arguments.get("model"),
                                     .backend = arguments.get("backend").value_or(""),
                                     .policies = list_of(arguments, "policy"),
                                     .budgets = list_of(arguments, "budget"),
                                     .set = arguments.all("set"),
                                     .chunk = count_of(arguments, "chunk", 1, 256),
                                     .threads = count_of(arguments, "threads", 0, 0)},
                        .texts = arguments.all("text"),
                        .suite = suite_of(arguments)};
  settings.documents.seed = count_option(arguments, "seed").value_or(0);
  settings.documents.context = count_of(arguments, "context", 1, settings.documents.context);
  settings.sizes = sizes_of(arguments);
  if (!settings.texts.empty()) return settings;
  if (!file_exists(default_text)) {
    throw Error(Diagnostic{
        .code = Code::input_missing,
        .text = fmt::format("there is no text to cut documents from: \"{}\" is missing", default_text),
        .help = "scripts/fetch_text.sh fetches it; or --text FILE"});
  }
  settings.texts = {default_text};
  return settings;
}

// Where results go beside the table; made and checked before minutes of work.
struct Outputs {
  bool json_to_stdout = false;
  std::string json_file;  // empty = none
  std::string folder;     // empty = none
};

Outputs outputs_of(const Arguments& arguments) {
  Outputs outputs{.folder = arguments.get("out").value_or("")};
  const bool to_file = !arguments.positional().empty();
  if (to_file && !arguments.has("json")) {
    throw Error(Code::usage, fmt::format("\"tenure eval\" does not take \"{}\"; a file goes with --json",
                                         arguments.positional().front()));
  }
  outputs.json_to_stdout = arguments.has("json") && !to_file;
  if (to_file) {
    outputs.json_file = arguments.positional().front();
    check_can_create(outputs.json_file);
  }
  if (outputs.folder.empty()) return outputs;
  std::error_code failed;
  fs::create_directories(outputs.folder, failed);
  if (failed)
    throw Error(Code::cannot_create,
                fmt::format("\"{}\" cannot be created: {}", outputs.folder, failed.message()));
  check_can_create(outputs.folder + "/eval.json");
  return outputs;
}

void write(const EvalReport& report, const Outputs& outputs) {
  const std::string table = eval_table(report);
  const std::string json = eval_json(report);
  if (!outputs.json_file.empty()) replace_file(outputs.json_file, json);
  if (!outputs.folder.empty()) {
    replace_file((fs::path(outputs.folder) / "eval.md").string(), table);
    replace_file((fs::path(outputs.folder) / "eval.json").string(), json);
  }
  print(outputs.json_to_stdout ? json : table);
}

std::vector<EvalLine> lines_of(const EvalPlan& evaluation, const Runtime& runtime, uint32_t context) {
  std::vector<EvalLine> lines;
  for (const PlannedLine& planned : evaluation.lines) {
    EvalLine line{.policy = planned.policy, .settings = runtime.policy(planned.plan)};
    // A share of the document, not of what each question makes of it: all questions meet the same cache.
    Budget& budget = line.settings.budget;
    if (budget.kind != BudgetKind::none) line.budget = to_text(budget);
    if (budget.kind == BudgetKind::fraction)
      budget = {.kind = BudgetKind::slots, .amount = budget.fraction.rounded_up(context)};
    lines.push_back(std::move(line));
  }
  return lines;
}

std::vector<Document> documents_of(const EvalSettings& settings, const Runtime& runtime) {
  const DocumentMaker maker(runtime.language().tokenizer(), read_text_lines(settings.texts),
                            settings.documents);
  std::vector<Document> documents = suite_documents(maker, settings.suite, settings.sizes);
  if (documents.empty())
    throw Error(Code::usage, "no document to evaluate: --documents, --noise and --sentences say how many");
  const uint64_t longest = longest_path(documents);
  if (const uint32_t n_ctx = runtime.model_info().config().n_ctx; longest > n_ctx) {
    throw Error(Diagnostic{
        .code = Code::usage,
        .text = fmt::format("documents of {} tokens and their questions are {}; the model's context is {}",
                            settings.documents.context, longest, n_ctx),
        .help = "a shorter --context"});
  }
  return documents;
}

void say_errors(const EvalReport& report) {
  for (size_t i = 0; i < report.lines.size(); ++i) {
    for (size_t d = 0; d < report.documents.size(); ++d) {
      const auto& error = report.scores[i].documents[d].error;
      if (error)
        print_error(fmt::format("error: {} {}, {}: {}", report.lines[i].policy, report.lines[i].budget,
                                report.documents[d].id, error->message));
    }
  }
}

int eval(const Arguments& arguments) {
  const EvalSettings settings = settings_of(arguments);
  const Outputs outputs = outputs_of(arguments);
  keep_stdout();
  PluginSearch search = plugin_search(arguments);
  const EvalPlan evaluation = plan_evaluation(settings.policies, search);
  Runtime runtime(std::move(search), [](uint32_t, std::string_view id, std::string_view text) {
    print_error(fmt::format("{}: {}", id, text));
  });
  runtime.load(evaluation.plan.cells.front());
  EvalReport report{.model_file = settings.policies.model,
                    .model_name = runtime.model().config().name,
                    .backend = runtime.backend().id(),
                    .code_path = runtime.backend().properties().code_path,
                    .text_files = settings.texts,
                    .seed = settings.documents.seed,
                    .context = settings.documents.context,
                    .documents = documents_of(settings, runtime),
                    .lines = lines_of(evaluation, runtime, settings.documents.context)};
  const std::vector<EvalLine> others(report.lines.begin() + 1, report.lines.end());
  auto scores = evaluate(runtime.engine(), report.lines.front(), others, report.documents, stop_requested(),
                         [&](size_t n_done) {
                           print_error(fmt::format("{} of {} documents, {} lines each", n_done,
                                                   report.documents.size(), report.lines.size()));
                         });
  if (!scores) return exit_stopped;
  report.scores = std::move(*scores);
  say_errors(report);
  write(report, outputs);
  return n_errors(report) > 0 ? exit_too_many_errors : exit_ok;
}

}  // namespace

Command eval_command() {
  return {
      .name = "eval",
      .max_operands = 1,
      .summary = "what a policy and a budget cost in answers",
      .help =
          "  tenure eval -m model.gguf --policy streaming_llm,h2o --budget 1/2,1/4,1/8\n"
          "  tenure eval -m model.gguf --policy h2o --budget 1/8 --set 'policy.when=[\"chunk\"]' --set "
          "policy.h2o.n_recent=1/4\n"
          "  tenure eval -m model.gguf --policy h2o --budget 1/8 --suite text --json eval.json",
      .options =
          {{.name = "model", .letter = 'm', .argument = "MODEL", .help = "a GGUF file or a model folder"},
           {.name = "policy",
            .argument = "ID",
            .help = "a policy plugin, or several: A,B",
            .repeatable = true},
           {.name = "budget",
            .argument = "B",
            .help = "slots, a share of the document \"1/8\", bytes, or several: A,B",
            .repeatable = true},
           {.name = "set",
            .argument = "KEY=VALUE",
            .help = "policy.KEY is every policy's, policy.ID.KEY one policy's",
            .repeatable = true},
           {.name = "suite", .argument = "all|retrieval|text", .help = "which instruments (all)"},
           {.name = "text",
            .argument = "FILE",
            .help = "plain text to cut documents from",
            .repeatable = true},
           {.name = "documents",
            .letter = 'n',
            .argument = "N",
            .help = "stretches of text with numbers and copies in them (16)"},
           {.name = "noise", .argument = "N", .help = "documents of noise with digits in them (half of -n)"},
           {.name = "sentences",
            .argument = "N",
            .help = "stretches of text with sentence facts in them (half of -n)"},
           {.name = "context", .argument = "N", .help = "tokens of a document (1024)"},
           {.name = "chunk", .argument = "N", .help = "tokens between two decisions (256)"},
           {.name = "seed", .argument = "N", .help = "of documents and intervals (0)"},
           {.name = "json",
            .help = "one JSON object instead of the table; a file name behind it: there, beside the table"},
           {.name = "out", .argument = "DIR", .help = "eval.md and eval.json there"},
           {.name = "threads", .letter = 't', .argument = "N", .help = "0 = what the process may use (0)"},
           {.name = "backend", .argument = "ID", .help = "a backend plugin"},
           {.name = "plugin-dir",
            .argument = "DIR",
            .help = "search plugins there first",
            .repeatable = true}},
      .run = eval};
}

}  // namespace tenure::cli
