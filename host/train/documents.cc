#include "train/documents.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "error/error.h"
#include "eval/text_lines.h"

namespace tenure {
namespace {

constexpr uint32_t least_context = 64;
constexpr size_t held_out_share = 10;  // one line of so many
constexpr size_t least_random = 12, most_random = 28;
constexpr size_t random_given = 3;  // one token of so many of a random run; the others are asked for
constexpr ptrdiff_t repeat_given = 8, repeat_asked = 40;
constexpr size_t least_passage = 12, most_passage = 72;  // tokens that are said over and over
// Words of the text that names and values are drawn from.
constexpr size_t least_letters = 4, most_letters = 9;
constexpr size_t least_words = 16;

size_t from_half(size_t most, Draws& draws) {
  const size_t least = (most + 1) / 2;
  return least + draws.below(most - least + 1);
}

// Of any few documents in a row, as many as the share says: by chance a short training would have none.
bool is_of_share(uint32_t index, double share) {
  return std::floor((index + 1) * share) > std::floor(index * share);
}

bool is_small_letter(char c) {
  return c >= 'a' && c <= 'z';
}
bool is_letter(char c) {
  return is_small_letter(c) || (c >= 'A' && c <= 'Z') || static_cast<unsigned char>(c) >= 0x80;
}

// Different ones, in their order.
std::vector<std::string> small_words(const std::string& text) {
  std::vector<std::string> words;
  for (size_t at = 0; at < text.size();) {
    size_t end = at;
    while (end < text.size() && is_letter(text[end])) ++end;
    const std::string word = text.substr(at, end - at);
    if (word.size() >= least_letters && word.size() <= most_letters &&
        std::all_of(word.begin(), word.end(), is_small_letter) &&
        std::find(words.begin(), words.end(), word) == words.end())
      words.push_back(word);
    at = end + 1;
  }
  return words;
}

const char* name_of(DocumentSet set) {
  return set == DocumentSet::held_out ? "held_out" : "training";
}

}  // namespace

std::vector<std::string> read_training_lines(const std::vector<std::string>& files, DocumentSet set) {
  std::vector<std::string> lines;
  for (const std::string& file : files) {
    std::vector<std::string> of_file = read_text_lines({file});
    const auto held_out =
        of_file.end() - static_cast<ptrdiff_t>((of_file.size() + held_out_share - 1) / held_out_share);
    const bool training = set == DocumentSet::training;
    lines.insert(lines.end(), std::make_move_iterator(training ? of_file.begin() : held_out),
                 std::make_move_iterator(training ? held_out : of_file.end()));
  }
  return lines;
}

TrainingDocumentMaker::TrainingDocumentMaker(const Tokenizer& tokenizer, std::vector<std::string> lines,
                                             const TrainingDocumentSettings& settings)
    : tokenizer_(tokenizer), haystack_(tokenizer, std::move(lines)), settings_(settings) {
  if (settings.context < least_context) {
    throw Error(Code::usage, fmt::format("training documents of {} tokens are too short; the least is {}",
                                         settings.context, least_context));
  }
  const DocumentMix& mix = settings.mix;
  const bool always_sentences = mix.sentence_share >= 1 && mix.n_sentences > 0;
  if (mix.n_facts + mix.n_repeats + mix.n_continuation == 0 && !always_sentences)
    throw Error(Code::usage, "a mix of training documents some of which ask for nothing");
}

TrainingDocument TrainingDocumentMaker::document(uint32_t index) const {
  const char* set = name_of(settings_.set);
  TrainingDocument document{.id = fmt::format("{}-{}", set, index)};
  Draws draws(seed_key(settings_.seed, set, "", index));
  const size_t n_after = size_t{settings_.mix.n_continuation} + 1;
  std::vector<int32_t> filler = haystack_.stretch(settings_.context + n_after, draws);
  std::vector<Insert> inserts;
  if (is_of_share(index, settings_.mix.refrain_share)) inserts = long_numbers_for(filler, draws);
  const bool is_refrain = !inserts.empty();  // else it would ask for nothing
  if (is_refrain) {
    const size_t n_passage = least_passage + draws.below(most_passage - least_passage + 1);
    filler = haystack_.refrain(filler, n_passage, filler.size());
  } else {
    inserts = inserts_for(filler, draws);
  }
  std::vector<std::vector<int32_t>> ids;
  for (const Insert& insert : inserts) ids.push_back(insert.ids);
  Woven woven = haystack_.weave(filler, ids, settings_.context, draws);
  document.ids = std::move(woven.ids);
  for (const Hidden& hidden : woven.hidden)
    document.questions.push_back(std::move(inserts[hidden.insert].question));
  if (is_refrain) return document;  // what is said all the time need not be kept
  for (uint32_t i = 0; i < settings_.mix.n_repeats; ++i)
    document.questions.push_back(repeat_of(document.ids, draws));
  if (settings_.mix.n_continuation == 0) return document;
  const auto after = filler.begin() + static_cast<ptrdiff_t>(woven.n_filler);
  document.questions.push_back({.kind = QuestionKind::continuation,
                                .lead = {*after},
                                .answer = {after + 1, after + static_cast<ptrdiff_t>(n_after)}});
  return document;
}

// Long numbers alone: where a text says nothing new it is they that the smallest budgets lose digits of.
std::vector<TrainingDocumentMaker::Insert> TrainingDocumentMaker::long_numbers_for(
    const std::vector<int32_t>& filler, Draws& draws) const {
  WordSupply words(words_for(filler, draws), draws);
  std::vector<Insert> inserts;
  for (size_t n = from_half(settings_.mix.n_facts, draws); n > 0; --n)
    inserts.push_back(insert_of(long_number_fact(settings_.set, words, draws)));
  return that_fit(std::move(inserts), draws);
}

std::vector<TrainingDocumentMaker::Insert> TrainingDocumentMaker::inserts_for(
    const std::vector<int32_t>& filler, Draws& draws) const {
  const DocumentMix& mix = settings_.mix;
  WordSupply words(words_for(filler, draws), draws);
  std::vector<Insert> inserts;
  const bool has_sentences = draws.next() < mix.sentence_share && mix.n_sentences > 0;
  for (size_t n = from_half(has_sentences ? mix.n_facts / 2 : mix.n_facts, draws); n > 0; --n)
    inserts.push_back(insert_of(asked_fact(settings_.set, words, draws)));
  if (has_sentences) {
    for (size_t n = from_half(mix.n_sentences, draws); n > 0; --n)
      inserts.push_back(insert_of(sentence_fact(settings_.set, words, draws)));
    if (draws.next() < mix.list_share) inserts.push_back(insert_of(word_list(words, draws)));
  }
  for (size_t n = draws.below(mix.n_random + 1); n > 0; --n) inserts.push_back(random_run(draws));
  return that_fit(std::move(inserts), draws);
}

// A short document has room for some of them only: half of it stays text.
std::vector<TrainingDocumentMaker::Insert> TrainingDocumentMaker::that_fit(std::vector<Insert> inserts, Draws& draws) const {
  draws.shuffle(inserts);
  std::vector<Insert> fitting;
  size_t n_tokens = 0;
  for (Insert& insert : inserts) {
    if (n_tokens + insert.ids.size() > settings_.context / 2) continue;
    n_tokens += insert.ids.size();
    fitting.push_back(std::move(insert));
  }
  return fitting;
}

TrainingDocumentMaker::Insert TrainingDocumentMaker::insert_of(const Fact& fact) const {
  return {.ids = haystack_.encode(fact.text),
          .question = {.kind = QuestionKind::fact,
                       .lead = haystack_.encode(fact.lead),
                       .answer = haystack_.encode(fact.answer)}};
}

TrainingDocumentMaker::Insert TrainingDocumentMaker::random_run(Draws& draws) const {
  const std::vector<int32_t> newline = haystack_.encode("\n");
  const size_t n = least_random + draws.below(most_random - least_random + 1);
  const std::vector<int32_t> run = haystack_.random_words(n, draws);
  const auto asked = run.begin() + static_cast<ptrdiff_t>(n / random_given);
  Insert insert{.ids = newline,
                .question = {.kind = QuestionKind::copy, .lead = newline, .answer = {asked, run.end()}}};
  append(insert.ids, run);
  append(insert.ids, newline);
  append(insert.question.lead, {run.begin(), asked});
  return insert;
}

TrainingQuestion TrainingDocumentMaker::repeat_of(const std::vector<int32_t>& ids, Draws& draws) const {
  const size_t first = tokenizer_.bos_to_add() ? 1 : 0;
  const size_t n_places = ids.size() - first - static_cast<size_t>(repeat_given + repeat_asked) + 1;
  const auto given = ids.begin() + static_cast<ptrdiff_t>(first + draws.below(n_places));
  const auto asked = given + repeat_given;
  TrainingQuestion question{
      .kind = QuestionKind::repeat, .lead = haystack_.encode("\n"), .answer = {asked, asked + repeat_asked}};
  append(question.lead, {given, asked});
  return question;
}

// The text's own; where they are few (another script), the vocabulary's.
std::vector<std::string> TrainingDocumentMaker::words_for(const std::vector<int32_t>& filler,
                                                          Draws& draws) const {
  std::vector<std::string> words = small_words(tokenizer_.detokenize(filler));
  if (words.size() >= least_words) return words;
  for (const int32_t id : haystack_.random_words(2 * least_words, draws)) {
    std::string_view bytes = tokenizer_.bytes(id);
    if (bytes.starts_with(' ')) bytes.remove_prefix(1);
    words.emplace_back(bytes);
  }
  return words;
}

}  // namespace tenure
