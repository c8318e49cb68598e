#include "eval/documents.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "error/error.h"

namespace tenure {
namespace {

constexpr size_t n_keyed = 4;
constexpr size_t n_copies = 2;
constexpr size_t n_random_tokens = 24;
constexpr size_t n_given = 8;          // of the random tokens; the others are asked for
constexpr size_t n_random_words = 64;  // a vocabulary with fewer words has nothing to draw from
// A document is text with needles in it, not the other way round.
constexpr size_t least_filler_share = 8;
// Farther from where it was drawn no needle goes to stand between sentences.
constexpr size_t max_shift = 64;

bool is_word(std::string_view bytes) {
  if (bytes.starts_with(' ')) bytes.remove_prefix(1);
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  return !bytes.empty() && std::all_of(bytes.begin(), bytes.end(), is_letter);
}

void append(std::vector<int32_t>& ids, const std::vector<int32_t>& more) {
  ids.insert(ids.end(), more.begin(), more.end());
}

}  // namespace

DocumentMaker::DocumentMaker(const Tokenizer& tokenizer, std::vector<std::string> lines,
                             const DocumentSettings& settings)
    : tokenizer_(tokenizer), lines_(std::move(lines)), settings_(settings) {
  for (int32_t id = 0; id < tokenizer.n_vocab(); ++id) {
    if (is_word(tokenizer.bytes(id))) words_.push_back(id);
  }
  if (words_.size() < n_random_words) {
    throw Error(Code::model_unsupported,
                fmt::format("the vocabulary has {} words; {} are needed to draw from", words_.size(),
                            n_random_words));
  }
}

Document DocumentMaker::text_document(uint32_t index) const {
  Document document = start("text", index);
  Draws draws(document.key);
  std::vector<Insert> inserts;
  for (const Needle& needle : keyed_numbers(n_keyed, draws))
    inserts.push_back(insert_of(needle, Instrument::keyed));
  inserts.push_back(insert_of(passkey(draws), Instrument::passkey));
  for (size_t i = 0; i < n_copies; ++i) inserts.push_back(random_tokens(draws));
  const size_t n_after = size_t{settings_.n_continuation} + 1;
  const std::vector<int32_t> filler = stretch(settings_.context + n_after, draws);
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
  const std::vector<int32_t> noise = encode(std::string(noise_text));
  std::vector<int32_t> filler;
  while (filler.size() < settings_.context) append(filler, noise);
  assemble(document, filler, {insert_of(digit_sequence(draws), Instrument::r_number)}, draws);
  return document;
}

Document DocumentMaker::start(const char* kind, uint32_t index) const {
  Document document{.id = fmt::format("{}-{}", kind, index),
                    .key = seed_key(settings_.seed, kind, "", index)};
  document.ids.reserve(settings_.context);
  if (const std::optional<int32_t> bos = tokenizer_.bos_to_add()) document.ids.push_back(*bos);
  return document;
}

DocumentMaker::Insert DocumentMaker::insert_of(const Needle& needle, Instrument instrument) const {
  return {.ids = encode("\n" + needle.text + "\n"),
          .question = {
              .instrument = instrument, .lead = encode(needle.question), .answer = encode(needle.value)}};
}

DocumentMaker::Insert DocumentMaker::random_tokens(Draws& draws) const {
  const std::vector<int32_t> newline = encode("\n");
  Insert insert{.ids = newline, .question = {.instrument = Instrument::copy, .lead = newline}};
  for (size_t i = 0; i < n_random_tokens; ++i) {
    const int32_t id = words_[draws.below(words_.size())];
    insert.ids.push_back(id);
    (i < n_given ? insert.question.lead : insert.question.answer).push_back(id);
  }
  append(insert.ids, newline);
  return insert;
}

size_t DocumentMaker::assemble(Document& document, const std::vector<int32_t>& filler,
                               std::vector<Insert> inserts, Draws& draws) const {
  draws.shuffle(inserts);
  size_t n_taken = document.ids.size();
  for (const Insert& insert : inserts) n_taken += insert.ids.size();
  const size_t least = n_taken + n_taken / least_filler_share;
  if (settings_.context < least) {
    throw Error(
        Code::usage,
        fmt::format("documents of {} tokens are too short: their needles take {}, so at least {} are needed",
                    settings_.context, n_taken, least));
  }
  const size_t n_filler = settings_.context - n_taken;
  size_t at = 0;  // of the filler
  for (size_t i = 0; i < inserts.size(); ++i) {
    // One a stratum, so that every document asks about all depths.
    const double depth = (static_cast<double>(i) + draws.next()) / static_cast<double>(inserts.size());
    const size_t next =
        nearest_break(filler, static_cast<size_t>(depth * static_cast<double>(n_filler)), n_filler);
    document.ids.insert(document.ids.end(), filler.begin() + static_cast<ptrdiff_t>(at),
                        filler.begin() + static_cast<ptrdiff_t>(next));
    at = next;
    inserts[i].question.pos = static_cast<uint32_t>(document.ids.size());
    append(document.ids, inserts[i].ids);
    document.questions.push_back(std::move(inserts[i].question));
  }
  document.ids.insert(document.ids.end(), filler.begin() + static_cast<ptrdiff_t>(at),
                      filler.begin() + static_cast<ptrdiff_t>(n_filler));
  return n_filler;
}

// Between 0 and `last`; `wanted` itself where there is none near. Never decreases as `wanted` grows.
size_t DocumentMaker::nearest_break(const std::vector<int32_t>& filler, size_t wanted, size_t last) const {
  for (size_t distance = 0; distance <= max_shift; ++distance) {
    if (distance <= wanted && is_break(filler, wanted - distance)) return wanted - distance;
    if (wanted + distance <= last && is_break(filler, wanted + distance)) return wanted + distance;
  }
  return wanted;
}

// Whether a line or a sentence ends before token i.
bool DocumentMaker::is_break(const std::vector<int32_t>& filler, size_t i) const {
  if (i == 0) return true;
  const std::string_view before = tokenizer_.bytes(filler[i - 1]);
  if (before.ends_with('\n')) return true;
  const bool ends = before.ends_with('.') || before.ends_with('!') || before.ends_with('?');
  return ends && i < filler.size() && tokenizer_.bytes(filler[i]).starts_with(' ');
}

std::vector<int32_t> DocumentMaker::stretch(size_t n, Draws& draws) const {
  std::vector<int32_t> ids;
  const size_t first = draws.below(lines_.size());
  for (size_t i = 0; ids.size() < n; ++i) {
    if (i == lines_.size()) {
      throw Error(Code::input_unreadable,
                  fmt::format("the text is too short: it has {} tokens, a document and what follows it {}",
                              ids.size(), n));
    }
    append(ids, encode(lines_[(first + i) % lines_.size()] + "\n"));
  }
  return ids;
}

std::vector<int32_t> DocumentMaker::encode(const std::string& text) const {
  return tokenizer_.encode(text, SpecialTokens::plain, TextStart::continuation);
}

}  // namespace tenure
