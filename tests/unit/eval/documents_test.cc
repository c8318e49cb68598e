#include "eval/documents.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "error/error.h"
#include "eval/suite.h"
#include "unit/eval/made_text.h"
#include "weights/model_source.h"

namespace tenure::test {
namespace {

constexpr uint32_t context = 700;

const Tokenizer& tokenizer() {
  static const Tokenizer tiny(ModelSource::open("tests/data/tiny-llama-f32.gguf")->tokenizer());
  return tiny;
}

DocumentMaker maker(uint64_t seed, uint32_t n_context = context) {
  return DocumentMaker(tokenizer(), made_text(60), {.seed = seed, .context = n_context});
}

size_t n_of(const Document& document, Instrument instrument) {
  return static_cast<size_t>(
      std::count_if(document.questions.begin(), document.questions.end(),
                    [&](const Question& question) { return question.instrument == instrument; }));
}

std::string text_of(const std::vector<int32_t>& ids, size_t first, size_t n) {
  return tokenizer().detokenize({ids.begin() + static_cast<ptrdiff_t>(first),
                                 ids.begin() + static_cast<ptrdiff_t>(std::min(ids.size(), first + n))});
}

// From "Answer: " on: what stands in the document before the value, too.
std::string lead_of(const Question& question) {
  const std::string text = tokenizer().detokenize(question.lead);
  const size_t at = text.find("\nAnswer: ");
  REQUIRE(at != std::string::npos);
  return text.substr(at + 9);
}

}  // namespace

TEST_CASE("documents - have their length and all their questions") {
  for (uint32_t i = 0; i < 10; ++i) {
    const Document document = maker(1).text_document(i);
    CHECK(document.ids.size() == context);
    CHECK(n_of(document, Instrument::keyed) == 4);
    CHECK(n_of(document, Instrument::passkey) == 1);
    CHECK(n_of(document, Instrument::copy) == 2);
    CHECK(n_of(document, Instrument::continuation) == 1);
    const Document noise = maker(1).noise_document(i);
    CHECK(noise.ids.size() == context);
    CHECK(noise.questions.size() == 1);
    CHECK(n_of(noise, Instrument::r_number) == 1);
  }
}

TEST_CASE("documents - what is asked for stands where it is said, once") {
  const auto check_digits = [](const Document& document, const Question& question, size_t n_digits) {
    const std::string value = tokenizer().detokenize(question.answer);
    CHECK(value.size() == n_digits);
    CHECK(value.find_first_not_of("0123456789") == std::string::npos);
    const std::string whole = text_of(document.ids, 0, context);
    const std::string sentence = lead_of(question) + value;
    CHECK(text_of(document.ids, question.pos, sentence.size() + 1).starts_with("\n" + sentence));
    CHECK(whole.find(sentence) != std::string::npos);
    CHECK(whole.find(sentence) == whole.rfind(sentence));
  };
  for (uint32_t i = 0; i < 10; ++i) {
    const Document document = maker(2).text_document(i);
    for (const Question& question : document.questions) {
      if (question.instrument == Instrument::keyed) check_digits(document, question, 7);
      if (question.instrument == Instrument::passkey) check_digits(document, question, 5);
      if (question.instrument != Instrument::copy) continue;
      std::vector<int32_t> segment = question.lead;
      segment.insert(segment.end(), question.answer.begin(), question.answer.end());
      CHECK(segment.size() == 1 + 24);
      CHECK(std::equal(segment.begin(), segment.end(), document.ids.begin() + question.pos));
    }
    const Document noise = maker(2).noise_document(i);
    check_digits(noise, noise.questions.front(), 10);
  }
}

TEST_CASE("documents - sentences are begun again as they stand, with one to three words left to say") {
  std::set<ptrdiff_t> n_words;
  for (uint32_t i = 0; i < 10; ++i) {
    const Document document = maker(2).sentence_document(i);
    CHECK(document.ids.size() == context);
    CHECK(n_of(document, Instrument::sentence) == 4);
    const std::string whole = text_of(document.ids, 0, context);
    for (const Question& question : document.questions) {
      const std::string lead = tokenizer().detokenize(question.lead),
                        value = tokenizer().detokenize(question.answer);
      REQUIRE(lead.starts_with("\n\n"));
      const std::string sentence = lead.substr(2) + value + ".\n";
      CHECK(text_of(document.ids, question.pos, sentence.size() + 1).starts_with("\n" + sentence));
      CHECK(whole.find(lead.substr(2)) == whole.rfind(lead.substr(2)));
      n_words.insert(std::count(value.begin(), value.end(), ' '));
    }
  }
  CHECK(n_words == std::set<ptrdiff_t>{1, 2, 3});
}

TEST_CASE("documents - needles stand between sentences, one in each part of the document") {
  for (uint32_t i = 0; i < 10; ++i) {
    const Document document = maker(3).text_document(i);
    std::vector<uint32_t> places;
    for (const Question& question : document.questions) {
      if (question.instrument == Instrument::continuation) continue;
      places.push_back(question.pos);
      if (question.pos == 0) continue;
      const char before = text_of(document.ids, 0, question.pos).back();
      CHECK((before == '\n' || before == '.'));
    }
    CHECK(std::is_sorted(places.begin(), places.end()));
    CHECK(places.front() < context / 3);
    CHECK(places.back() > context / 2);
  }
}

TEST_CASE("documents - the continuation is the text that follows, its first token given") {
  const std::vector<std::string> lines = made_text(60);
  std::string whole;
  for (int twice = 0; twice < 2; ++twice) {
    for (const std::string& line : lines) whole += line + "\n";
  }
  const Document document = maker(4).text_document(0);
  const Question& question = document.questions.back();
  REQUIRE(question.instrument == Instrument::continuation);
  CHECK(question.lead.size() == 1);
  CHECK(question.answer.size() == 64);
  std::vector<int32_t> ids(document.ids.end() - 20, document.ids.end());
  ids.insert(ids.end(), question.lead.begin(), question.lead.end());
  ids.insert(ids.end(), question.answer.begin(), question.answer.end());
  CHECK(whole.find(tokenizer().detokenize(ids)) != std::string::npos);
}

TEST_CASE("documents - the same seed makes the same ones, another seed or index others") {
  const Document document = maker(5).text_document(3);
  const Document again = maker(5).text_document(3);
  CHECK(document.ids == again.ids);
  REQUIRE(document.questions.size() == again.questions.size());
  for (size_t i = 0; i < document.questions.size(); ++i) {
    CHECK(document.questions[i].answer == again.questions[i].answer);
    CHECK(document.questions[i].pos == again.questions[i].pos);
  }
  CHECK(document.ids != maker(6).text_document(3).ids);
  CHECK(document.ids != maker(5).text_document(4).ids);
  CHECK(maker(5).noise_document(0).ids != maker(5).noise_document(1).ids);
  std::set<std::vector<int32_t>> answers;
  for (const Question& question : document.questions) answers.insert(question.answer);
  CHECK(answers.size() == document.questions.size());
}

TEST_CASE("documents - a suite chooses questions, not text") {
  const DocumentMaker made = maker(7);
  const std::vector<Document> all = suite_documents(made, Suite::all, {.n_text = 3});
  const std::vector<Document> retrieval = suite_documents(made, Suite::retrieval, {.n_text = 3});
  const std::vector<Document> text = suite_documents(made, Suite::text, {.n_text = 3});
  REQUIRE(all.size() == 7);
  REQUIRE(retrieval.size() == 7);
  REQUIRE(text.size() == 3);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(text[i].ids == all[i].ids);
    CHECK(text[i].questions.size() == 1);
    CHECK(retrieval[i].questions.size() + 1 == all[i].questions.size());
  }
  CHECK(all[3].id == "noise-0");
  CHECK(all[5].id == "sentences-0");
  const std::vector<Document> chosen =
      suite_documents(made, Suite::all, {.n_text = 0, .n_noise = 1, .n_sentences = 2});
  REQUIRE(chosen.size() == 3);
  CHECK(chosen[0].ids == all[3].ids);
  CHECK(chosen[2].ids == all[6].ids);
  size_t longest = 0;
  for (const Question& question : all[0].questions)
    longest = std::max(longest, context + question.lead.size() + question.answer.size());
  CHECK(longest_path({all[0]}) == longest);
}

TEST_CASE("documents - too short a document or too little text is refused with what is needed") {
  CHECK_THROWS_WITH_AS(maker(1, 100).text_document(0), doctest::Contains("too short"), Error);
  const DocumentMaker little(tokenizer(), {"One line."}, {.context = context});
  CHECK_THROWS_WITH_AS(little.text_document(0), doctest::Contains("text is too short"), Error);
}

}  // namespace tenure::test
