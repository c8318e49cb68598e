#include "eval/documents.h"

#include <fmt/format.h>

#include "eval/sentences.h"

namespace tenure {
namespace {

constexpr size_t n_keyed = 4;
constexpr size_t n_copies = 2;
constexpr size_t n_sentences = 4;
constexpr size_t n_random_tokens = 24;
constexpr ptrdiff_t n_given = 8;  // of the random tokens; the others are asked for

}  // namespace

DocumentMaker::DocumentMaker(const Tokenizer& tokenizer, std::vector<std::string> lines,
                             const DocumentSettings& settings)
    : haystack_(tokenizer, std::move(lines)), settings_(settings) {}

Document DocumentMaker::text_document(uint32_t index) const {
  Document document = start("text", index);
  Draws draws(document.key);
  std::vector<Insert> inserts;
  for (const Needle& needle : keyed_numbers(n_keyed, draws))
    inserts.push_back(insert_of(needle, Instrument::keyed));
  inserts.push_back(insert_of(passkey(draws), Instrument::passkey));
  for (size_t i = 0; i < n_copies; ++i) inserts.push_back(random_tokens(draws));
  const size_t n_after = size_t{settings_.n_continuation} + 1;
  const std::vector<int32_t> filler = haystack_.stretch(settings_.context + n_after, draws);
  const auto after =
      filler.begin() + static_cast<ptrdiff_t>(assemble(document, filler, std::move(inserts), draws));
  // Its first token is fed: what the cache knows shows in what comes after a token, not before one.
  document.questions.push_back(
      {.instrument = Instrument::continuation,
       .lead = {*after},
       .answer = std::vector<int32_t>(after + 1, after + static_cast<ptrdiff_t>(n_after)),
       .pos = settings_.context});
  return document;
}

Document DocumentMaker::noise_document(uint32_t index) const {
  Document document = start("noise", index);
  Draws draws(document.key);
  const std::vector<int32_t> noise = haystack_.encode(std::string(noise_text));
  std::vector<int32_t> filler;
  while (filler.size() < settings_.context) append(filler, noise);
  assemble(document, filler, {insert_of(digit_sequence(draws), Instrument::r_number)}, draws);
  return document;
}

Document DocumentMaker::sentence_document(uint32_t index) const {
  Document document = start("sentences", index);
  Draws draws(document.key);
  std::vector<Insert> inserts;
  for (const Needle& needle : sentence_facts(n_sentences, draws))
    inserts.push_back(insert_of(needle, Instrument::sentence));
  assemble(document, haystack_.stretch(settings_.context, draws), std::move(inserts), draws);
  return document;
}

Document DocumentMaker::start(const char* kind, uint32_t index) const {
  return {.id = fmt::format("{}-{}", kind, index), .key = seed_key(settings_.seed, kind, "", index)};
}

DocumentMaker::Insert DocumentMaker::insert_of(const Needle& needle, Instrument instrument) const {
  return {.ids = haystack_.encode("\n" + needle.text + "\n"),
          .question = {.instrument = instrument,
                       .lead = haystack_.encode(needle.question),
                       .answer = haystack_.encode(needle.value)}};
}

DocumentMaker::Insert DocumentMaker::random_tokens(Draws& draws) const {
  const std::vector<int32_t> newline = haystack_.encode("\n");
  const std::vector<int32_t> words = haystack_.random_words(n_random_tokens, draws);
  Insert insert{.ids = newline, .question = {.instrument = Instrument::copy, .lead = newline}};
  append(insert.ids, words);
  append(insert.ids, newline);
  append(insert.question.lead, {words.begin(), words.begin() + n_given});
  insert.question.answer = {words.begin() + n_given, words.end()};
  return insert;
}

size_t DocumentMaker::assemble(Document& document, const std::vector<int32_t>& filler,
                               std::vector<Insert> inserts, Draws& draws) const {
  std::vector<std::vector<int32_t>> ids;
  for (Insert& insert : inserts) ids.push_back(std::move(insert.ids));
  Woven woven = haystack_.weave(filler, ids, settings_.context, draws);
  document.ids = std::move(woven.ids);
  for (const Hidden& hidden : woven.hidden) {
    document.questions.push_back(std::move(inserts[hidden.insert].question));
    document.questions.back().pos = hidden.pos;
  }
  return woven.n_filler;
}

}  // namespace tenure
