// How a trainable policy's network is fitted: the recipes of a manifest ([[recipe]]), and the plugin's own training
// parameters ([[training]]) that a recipe may set. docs/training.md explains the keys.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "manifest/choices.h"
#include "manifest/params.h"

namespace tenure {

class TableReader;

// What a token's label is, each of it over the label rows and over the query heads that share a KV head.
enum class LabelKind : uint8_t {
  attention_logprob_max,  // the largest log softmax weight, at least label_floor
  attention_logit_max,    // the largest scaled score before the softmax
  // The log of the largest softmax weight * |v| / |h|, v the token's value, h the attention's input of the label row; at least
  // label_floor. KVzip+'s importance (arXiv 2601.07891), but for W_O, which it multiplies v by.
  attention_importance_log,
};
template <>
inline constexpr Choice<LabelKind> choices<LabelKind>[] = {
    {"attention_logprob_max", LabelKind::attention_logprob_max},
    {"attention_logit_max", LabelKind::attention_logit_max},
    {"attention_importance_log", LabelKind::attention_importance_log}};

struct Recipe {
  std::string name;
  std::string doc;
  LabelKind label = LabelKind::attention_logprob_max;
  double label_floor = -12;
  uint32_t n_question_rows = 8;  // the last so many tokens that ask are label rows, beside all that predict an answer
  uint32_t n_unlabelled = 4;     // a document's first tokens have no label: sinks are kept anyway
  double learning_rate = 2e-3;   // AdamW's, after the warm-up; then it falls to 0 in a line
  double beta1 = 0.9, beta2 = 0.95;
  double weight_decay = 0.01;
  double value_clip = 0.5;  // each element of a gradient
  double warm_up = 0.1;     // share of the steps
  uint32_t epochs = 6;
  uint32_t documents = 64;  // to learn from; one is one step
  uint32_t held_out = 3;    // more documents, which only judge
  uint32_t context = 1024;  // tokens of a document
  // What documents have, train/documents.h; where it is "at most", from half of it to it.
  uint32_t facts = 6;            // at most, asked as questions
  double sentence_share = 0.5;   // of the documents: have sentence facts too, which are continued
  uint32_t sentences = 5;        // at most, in those
  double list_share = 0.5;       // of those: have a list of words
  double refrain_share = 0.25;   // of the documents: their text is a few sentences over and over
  uint32_t random_runs = 2;      // runs of random tokens to copy: none to it
  uint32_t repeats = 3;          // stretches of the document to be said again
  uint32_t continuation = 96;    // tokens that follow the document
  std::vector<ParamValue> params;  // the plugin's own, in the order of [[training]]
};

// Takes a recipe out of a table; what the table does not give is as in `base`. `training`: the plugin's own parameters.
Recipe read_recipe(TableReader&, const Recipe& base, const std::vector<ParamSpec>& training);

// `recipe` with values given as "key=value", in TOML's syntax or as a bare word. Throws Error for what is no key, or no
// value of it.
Recipe with_settings(const Recipe& recipe, const std::vector<ParamSpec>& training, const std::vector<std::string>& settings);

// Every key and its value as text, `params` at the end.
std::vector<std::pair<std::string, std::string>> settings_of(const Recipe&);

// The names that [[training]] may not use.
const std::vector<std::string>& recipe_keys();

}  // namespace tenure
