#include "manifest/recipe.h"

#include <fmt/format.h>

#include <algorithm>

#include "error/error.h"
#include "manifest/quantities.h"
#include "manifest/table_reader.h"

namespace tenure {
namespace {

template <typename T, typename U>
void take(T& value, const std::optional<U>& given) {
  if (given) value = *given;
}

// The plugin's parameters, as `base` has them where the table is silent.
std::vector<ParamValue> read_own(TableReader& table, const Recipe& base, std::vector<ParamSpec> training) {
  for (size_t i = 0; i < base.params.size(); ++i) training[i].default_value = base.params[i];
  return validate(training, table);
}

// "key=value" as a line of TOML; bare text becomes a string.
TomlDocument parse_setting(const std::string& setting) {
  const size_t equals = setting.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw Error(Code::usage, fmt::format("--set takes KEY=VALUE, not \"{}\"", setting));
  }
  const std::string key = setting.substr(0, equals);
  const std::string value = setting.substr(equals + 1);
  const auto is_bare = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-'; };
  const bool is_word = !value.empty() && std::all_of(value.begin(), value.end(), is_bare) && value != "true" && value != "false";
  return parse_toml(is_word ? fmt::format("{} = \"{}\"\n", key, value) : fmt::format("{} = {}\n", key, value), "--set", {});
}

}  // namespace

const std::vector<std::string>& recipe_keys() {
  static const std::vector<std::string> keys = {
      "name",         "doc",        "label",   "label_floor", "n_question_rows", "n_unlabelled", "learning_rate", "beta1", "beta2",
      "weight_decay", "value_clip", "warm_up", "epochs",      "documents",       "held_out",     "context",       "facts", "sentence_share",
      "sentences",    "list_share", "refrain_share", "random_runs", "repeats", "continuation"};
  return keys;
}

Recipe read_recipe(TableReader& table, const Recipe& base, const std::vector<ParamSpec>& training) {
  constexpr uint32_t most = 1'000'000;
  Recipe recipe = base;
  take(recipe.doc, table.text("doc"));
  take(recipe.label, table.choice<LabelKind>("label"));
  take(recipe.label_floor, table.number("label_floor", -1000, 0));
  take(recipe.n_question_rows, table.count("n_question_rows", 0, most));
  take(recipe.n_unlabelled, table.count("n_unlabelled", 0, most));
  take(recipe.learning_rate, table.number("learning_rate", 1e-9, 10));
  take(recipe.beta1, table.number("beta1", 0, 0.999999));
  take(recipe.beta2, table.number("beta2", 0, 0.999999));
  take(recipe.weight_decay, table.number("weight_decay", 0, 1));
  take(recipe.value_clip, table.number("value_clip", 1e-9, 1e9));
  take(recipe.warm_up, table.number("warm_up", 0, 1));
  take(recipe.epochs, table.count("epochs", 1, most));
  take(recipe.documents, table.count("documents", 1, most));
  take(recipe.held_out, table.count("held_out", 0, most));
  take(recipe.context, table.count("context", 16, most));
  take(recipe.facts, table.count("facts", 0, 64));
  take(recipe.sentence_share, table.number("sentence_share", 0, 1));
  take(recipe.sentences, table.count("sentences", 0, 64));
  take(recipe.list_share, table.number("list_share", 0, 1));
  take(recipe.refrain_share, table.number("refrain_share", 0, 1));
  take(recipe.random_runs, table.count("random_runs", 0, 64));
  take(recipe.repeats, table.count("repeats", 0, 64));
  take(recipe.continuation, table.count("continuation", 0, 4096));
  recipe.params = read_own(table, base, training);
  return recipe;
}

Recipe with_settings(const Recipe& recipe, const std::vector<ParamSpec>& training, const std::vector<std::string>& settings) {
  Recipe changed = recipe;
  for (const std::string& setting : settings) {
    const TomlDocument document = parse_setting(setting);
    Findings findings;
    TableReader table(document.root, "a recipe", findings);
    changed = read_recipe(table, changed, training);
    table.finish();
    findings.throw_if_any();
  }
  return changed;
}

std::vector<std::pair<std::string, std::string>> settings_of(const Recipe& r) {
  std::vector<std::pair<std::string, std::string>> settings = {{"label", std::string(name_of(r.label))},
                                                               {"label_floor", number_text(r.label_floor)},
                                                               {"n_question_rows", fmt::format("{}", r.n_question_rows)},
                                                               {"n_unlabelled", fmt::format("{}", r.n_unlabelled)},
                                                               {"learning_rate", number_text(r.learning_rate)},
                                                               {"beta1", number_text(r.beta1)},
                                                               {"beta2", number_text(r.beta2)},
                                                               {"weight_decay", number_text(r.weight_decay)},
                                                               {"value_clip", number_text(r.value_clip)},
                                                               {"warm_up", number_text(r.warm_up)},
                                                               {"epochs", fmt::format("{}", r.epochs)},
                                                               {"documents", fmt::format("{}", r.documents)},
                                                               {"held_out", fmt::format("{}", r.held_out)},
                                                               {"context", fmt::format("{}", r.context)},
                                                               {"facts", fmt::format("{}", r.facts)},
                                                               {"sentence_share", number_text(r.sentence_share)},
                                                               {"sentences", fmt::format("{}", r.sentences)},
                                                               {"list_share", number_text(r.list_share)},
                                                               {"refrain_share", number_text(r.refrain_share)},
                                                               {"random_runs", fmt::format("{}", r.random_runs)},
                                                               {"repeats", fmt::format("{}", r.repeats)},
                                                               {"continuation", fmt::format("{}", r.continuation)}};
  for (const ParamValue& param : r.params) settings.emplace_back(param.name, to_text(param));
  return settings;
}

}  // namespace tenure
