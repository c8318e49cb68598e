// tenure train: fits a trainable policy's network for a model and writes its weights. Run again it goes on where it was.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "cli/commands.h"
#include "cli/plan_loading.h"
#include "cli/signals.h"
#include "cli/streams.h"
#include "cli/training_bar.h"
#include "error/error.h"
#include "graph/runtime.h"
#include "manifest/findings.h"
#include "plan/load.h"
#include "plugin/trainable.h"
#include "record/file_io.h"
#include "report/training_page.h"
#include "tensor/sha256.h"
#include "train/documents.h"
#include "train/lent_products.h"
#include "train/training.h"
#include "train/weights_output.h"

namespace tenure::cli {
namespace {

namespace fs = std::filesystem;
using Facts = std::vector<std::pair<std::string, std::string>>;

struct TrainArguments {
  std::string plugin;
  std::string model;
  std::vector<std::string> data;
  std::string out;
  uint64_t seed = 0;
};

std::string work_folder_of(const TrainArguments& train) { return train.out + ".training"; }

TrainArguments read(const Arguments& arguments) {
  for (const char* needed : {"model", "data", "out"}) {
    if (!arguments.has(needed)) throw Error(Code::usage, fmt::format("\"tenure train\" needs --{}", needed));
  }
  TrainArguments train{.plugin = arguments.positional().front(),
                       .model = *arguments.get("model"),
                       .data = arguments.all("data"),
                       .out = *arguments.get("out"),
                       .seed = count_option(arguments, "seed").value_or(0)};
  // --data A B C: a shell's pattern gives its files one after the other.
  train.data.insert(train.data.end(), arguments.positional().begin() + 1, arguments.positional().end());
  check_can_create(train.out);
  // With the folder beside it, it was killed on its last step.
  if (file_exists(train.out) && !file_exists(work_folder_of(train))) {
    throw Error({.code = Code::cannot_create, .text = fmt::format("\"{}\" is there already", train.out), .help = "remove it, or write to another -o"});
  }
  return train;
}

Recipe recipe_of(const PluginManifest& manifest, const Arguments& arguments) {
  if (manifest.recipes.empty()) {
    throw Error(Code::plugin_refused, fmt::format("policy \"{}\" has nothing to train: its manifest has no [[recipe]]", manifest.id));
  }
  const auto wanted = arguments.get("recipe");
  const auto found = std::find_if(manifest.recipes.begin(), manifest.recipes.end(), [&](const Recipe& r) { return !wanted || r.name == *wanted; });
  if (found == manifest.recipes.end()) {
    std::vector<std::string> names;
    for (const Recipe& recipe : manifest.recipes) names.push_back(recipe.name);
    throw Error({.code = Code::usage,
                 .text = fmt::format("policy \"{}\" has no recipe \"{}\"; there are: {}", manifest.id, *wanted, fmt::join(names, ", ")),
                 .help = did_you_mean(*wanted, names)});
  }
  return with_settings(*found, manifest.training, arguments.all("set"));
}

// A pipeline of one stage with the default policy: what a training runs on is what a run runs on.
Plan plan_for(const TrainArguments& train, const Arguments& arguments, const PluginSearch& search) {
  std::string toml = fmt::format("tenure = 1\n[model]\npath = {}\n[backend]\nthreads = {}\n", toml_string(fs::absolute(train.model).string()),
                                 count_option(arguments, "threads").value_or(0));
  if (const auto backend = arguments.get("backend")) toml += fmt::format("plugin = {}\n", toml_string(*backend));
  toml += "[[stage]]\nid = \"documents\"\nkind = \"read_jsonl\"\npath = \"-\"\n";
  toml += "[[stage]]\nid = \"rows\"\nkind = \"score\"\nfrom = \"documents\"\n";
  return plan_of({.text = std::move(toml), .name = "train", .folder = fs::current_path().string()}, search);
}

std::vector<TrainingDocument> documents_of(const TrainArguments& train, const Recipe& recipe, const Tokenizer& tokenizer, uint32_t n_ctx) {
  const DocumentMix mix{.n_facts = recipe.facts,
                        .sentence_share = recipe.sentence_share,
                        .n_sentences = recipe.sentences,
                        .list_share = recipe.list_share,
                        .refrain_share = recipe.refrain_share,
                        .n_random = recipe.random_runs,
                        .n_repeats = recipe.repeats,
                        .n_continuation = recipe.continuation};
  const auto refuse_length = [&](size_t n) {
    throw Error({.code = Code::usage,
                 .text = fmt::format("documents of context = {} tokens and their questions are {}; the model's context is {}", recipe.context, n, n_ctx),
                 .help = "a smaller --set context="});
  };
  if (recipe.context >= n_ctx) refuse_length(recipe.context);  // before a text is searched for as much
  std::vector<TrainingDocument> documents;
  for (const auto& [set, n] : {std::pair{DocumentSet::training, recipe.documents}, std::pair{DocumentSet::held_out, recipe.held_out}}) {
    if (n == 0) continue;
    const TrainingDocumentMaker maker(tokenizer, read_training_lines(train.data, set),
                                      {.seed = train.seed, .context = recipe.context, .set = set, .mix = mix});
    for (uint32_t i = 0; i < n; ++i) documents.push_back(maker.document(i));
  }
  for (const TrainingDocument& document : documents) {
    for (const TrainingQuestion& question : document.questions) {
      const size_t n = document.ids.size() + question.lead.size() + question.answer.size();
      if (n > n_ctx) refuse_length(n);
    }
  }
  return documents;
}

// Everything that the weights depend on.
Facts facts_of(const TrainArguments& train, const Recipe& recipe, const Runtime& runtime, const PluginManifest& manifest) {
  const ModelConfig& config = runtime.model().config();
  Facts facts = {{"policy", manifest.id},
                 {"policy_version", manifest.version},
                 {"model_fingerprint", config.fingerprint},
                 {"model_name", config.name},
                 {"architecture", config.architecture},
                 {"recipe", recipe.name}};
  for (auto& setting : settings_of(recipe)) facts.push_back(std::move(setting));
  facts.emplace_back("seed", fmt::format("{}", train.seed));
  std::string data;
  for (const std::string& file : train.data) {
    data += fmt::format("{}{} {}", data.empty() ? "" : ", ", fs::path(file).filename().string(), sha256_file(file));
  }
  facts.emplace_back("data", data);
  facts.emplace_back("tenure", TENURE_VERSION);
  return facts;
}

std::string identity_of(const Facts& facts, const TrainArguments& train, Runtime& runtime) {
  std::string text;
  for (const auto& [key, value] : facts) text += fmt::format("{} = {}\n", key, value);
  text += fmt::format("model_sha256 = {}\n", model_sha256(train.model));
  return text + fmt::format("backend = {} {}\n", runtime.backend().id(), runtime.backend().properties().code_path);
}

// --note KEY=VALUE: what only the caller knows, such as a commit.
Facts notes_of(const Arguments& arguments) {
  Facts notes;
  for (const std::string& note : arguments.all("note")) {
    const size_t equals = note.find('=');
    if (equals == 0 || equals == std::string::npos) throw Error(Code::usage, fmt::format("--note takes KEY=VALUE, not \"{}\"", note));
    notes.emplace_back(note.substr(0, equals), note.substr(equals + 1));
  }
  return notes;
}

TrainingPage page_of(const std::string& title, const Facts& facts, const std::vector<TrainedLayer>& trained) {
  TrainingPage page{.title = title, .facts = facts};
  for (uint32_t l = 0; l < trained.size(); ++l) {
    if (trained[l].parameters.empty()) continue;
    TrainingPage::Layer layer{.layer = l, .losses = trained[l].curve.losses};
    for (const HeldOutPoint& point : trained[l].curve.held_out) {
      layer.held_out.push_back({.step = point.step, .loss = point.loss, .overlap = point.overlap});
    }
    page.layers.push_back(std::move(layer));
  }
  return page;
}

std::string summary_of(const std::vector<TrainedLayer>& trained) {
  double first = 0, last = 0, held_out = 0, overlap = 0;
  uint32_t n = 0;
  for (const TrainedLayer& layer : trained) {
    if (layer.parameters.empty()) continue;
    ++n;
    first += layer.curve.losses.front();
    last += layer.curve.losses.back();
    held_out += layer.curve.held_out.empty() ? 0 : layer.curve.held_out.back().loss;
    overlap += layer.curve.held_out.empty() ? 0 : layer.curve.held_out.back().overlap;
  }
  const double share = 1.0 / std::max(1u, n);
  std::string summary = fmt::format("{} layers, mean loss {:.3f} -> {:.3f}", n, first * share, last * share);
  if (overlap > 0) summary += fmt::format(", held out {:.3f}, top 12.5 % overlap {:.3f}", held_out * share, overlap * share);
  return summary;
}

int train(const Arguments& arguments) {
  const TrainArguments wanted = read(arguments);
  PluginSearch search = plugin_search(arguments);
  const PluginManifest manifest = resolve_plugin(search, wanted.plugin, PluginKind::policy).manifest;
  const Recipe recipe = recipe_of(manifest, arguments);
  Facts notes = notes_of(arguments);
  keep_stdout();
  const Plan plan = plan_for(wanted, arguments, search);
  Runtime runtime(std::move(search), [](uint32_t, std::string_view id, std::string_view text) { print_error(fmt::format("{}: {}", id, text)); });
  runtime.load(plan.cells.front());
  const std::unique_ptr<Trainable> trainable = runtime.make_trainable(wanted.plugin, recipe.params);
  Facts facts = facts_of(wanted, recipe, runtime, manifest);
  TrainingBar bar;
  const TrainingJob job{.config = &runtime.model().config(),
                        .trainable = trainable.get(),
                        .engine = &runtime.engine(),
                        .recipe = recipe,
                        .seed = wanted.seed,
                        .documents = documents_of(wanted, recipe, runtime.language().tokenizer(), runtime.model().config().n_ctx),
                        .multiply = multiply_by(runtime.backend()),
                        .for_each = for_each_on(runtime.executor()),
                        .stop = &stop_requested(),
                        .say = [&](const TrainingProgress& progress) { bar.show(progress); }};
  WorkFolder folder(work_folder_of(wanted), identity_of(facts, wanted, runtime));
  const auto trained = tenure::train(job, folder);
  if (!trained) return exit_stopped;
  facts.insert(facts.end(), notes.begin(), notes.end());
  replace_file(wanted.out + ".html", render(page_of(fs::path(wanted.out).filename().string(), facts, *trained)));
  replace_file(wanted.out, weights_output(trainable->layers(), *trained, facts));
  folder.remove();
  print(fmt::format("{}: {}, {:.0f} s\n", wanted.out, summary_of(*trained), bar.seconds()));
  return exit_ok;
}

}  // namespace

Command train_command() {
  return {
      .name = "train",
      .operands = "ID",
      .min_operands = 1,
      .max_operands = 10'000,
      .summary = "fit a trainable policy's network for a model; run again = resume",
      .help = "  tenure train locret -m model.gguf --data book.txt -o heads.safetensors\n"
              "  tenure train locret -m model.gguf --data *.txt --set epochs=4 --set documents=44 -o heads.safetensors\n"
              "  tenure plugin show locret                       its recipes and their values\n"
              "\nUntil it is done, OUT.training holds what there is. OUT.html then shows the loss of every layer.",
      .options = {{.name = "model", .letter = 'm', .argument = "MODEL", .help = "a GGUF file or a model folder"},
                  {.name = "data", .argument = "FILE", .help = "plain text to make documents of", .repeatable = true},
                  {.name = "out", .letter = 'o', .argument = "FILE", .help = "the weights, a safetensors file"},
                  {.name = "recipe", .argument = "NAME", .help = "one of the policy's (the first)"},
                  {.name = "set", .argument = "KEY=VALUE", .help = "a value of the recipe", .repeatable = true},
                  {.name = "seed", .argument = "N", .help = "of documents, starts and orders (0)"},
                  {.name = "note", .argument = "KEY=VALUE", .help = "more metadata for the file, such as a commit", .repeatable = true},
                  {.name = "threads", .letter = 't', .argument = "N", .help = "0 = what the process may use (0)"},
                  {.name = "backend", .argument = "ID", .help = "a backend plugin"},
                  {.name = "plugin-dir", .argument = "DIR", .help = "search plugins there first", .repeatable = true}},
      .run = train};
}

}  // namespace tenure::cli
