#include "train/documents.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "error/error.h"
#include "eval/needles.h"
#include "eval/sentences.h"
#include "unit/eval/made_text.h"
#include "unit/eval/text_file.h"
#include "weights/model_source.h"

namespace tenure::test {
namespace {

constexpr uint32_t context = 900;
constexpr uint32_t n_documents = 60;

const Tokenizer& tokenizer() {
  static const Tokenizer tiny(ModelSource::open("tests/data/tiny-llama-f32.gguf")->tokenizer());
  return tiny;
}

TrainingDocumentMaker maker(const TrainingDocumentSettings& settings) {
  return TrainingDocumentMaker(tokenizer(), made_text(60), settings);
}

std::vector<TrainingDocument> documents(const TrainingDocumentSettings& settings) {
  const TrainingDocumentMaker made = maker(settings);
  std::vector<TrainingDocument> all;
  for (uint32_t i = 0; i < n_documents; ++i) all.push_back(made.document(i));
  return all;
}

size_t n_of(const TrainingDocument& document, QuestionKind kind) {
  return static_cast<size_t>(
      std::count_if(document.questions.begin(), document.questions.end(),
                    [&](const TrainingQuestion& question) { return question.kind == kind; }));
}

std::string text_of(const std::vector<int32_t>& ids) {
  return tokenizer().detokenize(ids);
}

bool contains(const std::vector<int32_t>& ids, const std::vector<int32_t>& run) {
  return std::search(ids.begin(), ids.end(), run.begin(), run.end()) != ids.end();
}

// From which on the evaluation's sentences differ by their key and value: "The account number for".
std::string beginning(const std::string& sentence) {
  return sentence.substr(0, 20);
}

}  // namespace

TEST_CASE("training documents - have their length and questions of every kind") {
  std::map<QuestionKind, size_t> n_asked;
  std::set<size_t> n_facts, n_random;
  const DocumentMix mix{.refrain_share = 0};
  for (const TrainingDocument& document : documents({.seed = 1, .context = context, .mix = mix})) {
    CHECK(document.ids.size() == context);
    CHECK(n_of(document, QuestionKind::repeat) == 3);
    CHECK(n_of(document, QuestionKind::continuation) == 1);
    n_facts.insert(n_of(document, QuestionKind::fact));
    n_random.insert(n_of(document, QuestionKind::copy));
    for (const TrainingQuestion& question : document.questions) {
      CHECK(!question.lead.empty());
      CHECK(!question.answer.empty());
    }
  }
  // 3 to 6 asked, or 2 to 3 of them and 3 to 5 sentences and maybe a list; fewer where half of the document
  // is full.
  CHECK(*n_facts.begin() >= 2);
  CHECK(*n_facts.rbegin() <= 9);
  CHECK(n_facts.size() >= 4);
  CHECK(n_random == std::set<size_t>{0, 1, 2});
}

TEST_CASE("training documents - what is asked for is in them") {
  for (const TrainingDocument& document : documents({.seed = 2, .context = context})) {
    const std::string whole = text_of(document.ids);
    for (const TrainingQuestion& question : document.questions) {
      const std::string lead = text_of(question.lead), answer = text_of(question.answer);
      std::vector<int32_t> run(question.lead.begin() + (question.kind == QuestionKind::repeat ? 1 : 0),
                               question.lead.end());
      run.insert(run.end(), question.answer.begin(), question.answer.end());
      CAPTURE(lead);
      CAPTURE(answer);
      switch (question.kind) {
        case QuestionKind::fact:
          CHECK(whole.find(answer) != std::string::npos);
          break;
        case QuestionKind::copy:
          CHECK(contains(document.ids, run));
          CHECK(run.size() >= 1 + 12);
          CHECK(run.size() <= 1 + 28);
          break;
        case QuestionKind::repeat:
          CHECK(contains(document.ids, run));
          CHECK(run.size() == 8 + 40);
          break;
        case QuestionKind::continuation:
          CHECK(question.lead.size() == 1);
          CHECK(question.answer.size() == 96);
          break;
      }
    }
  }
}

TEST_CASE("training documents - the continuation is the text that follows") {
  std::string whole;
  for (int twice = 0; twice < 2; ++twice) {
    for (const std::string& line : made_text(60)) whole += line + "\n";
  }
  const DocumentMix only_text{.n_facts = 0, .sentence_share = 0, .n_random = 0, .n_repeats = 0};
  for (const TrainingDocument& document : documents({.seed = 3, .context = context, .mix = only_text})) {
    REQUIRE(document.questions.size() == 1);
    const TrainingQuestion& question = document.questions.front();
    std::vector<int32_t> ids = document.ids;
    ids.insert(ids.end(), question.lead.begin(), question.lead.end());
    ids.insert(ids.end(), question.answer.begin(), question.answer.end());
    CHECK(whole.find(text_of(ids)) != std::string::npos);
  }
}

TEST_CASE("training documents - the share of documents with sentences is the mix's") {
  const auto n_with_sentences = [](double share) {
    // Without questions on numbers every fact is a sentence or a list.
    const DocumentMix mix{.n_facts = 0, .sentence_share = share, .n_random = 0};
    const std::vector<TrainingDocument> all = documents({.seed = 4, .context = context, .mix = mix});
    return std::count_if(all.begin(), all.end(), [](const TrainingDocument& document) {
      return n_of(document, QuestionKind::fact) >= 3;
    });
  };
  CHECK(n_with_sentences(0) == 0);
  CHECK(n_with_sentences(1) == n_documents);
  const auto n_half = n_with_sentences(0.5);
  CHECK(n_half > 15);
  CHECK(n_half < 45);
}

TEST_CASE(
    "training documents - sentences are begun again as they stand, with one to three words left to say") {
  const DocumentMix mix{.n_facts = 0, .sentence_share = 1, .list_share = 0, .n_random = 0, .n_repeats = 0};
  std::set<size_t> n_words;
  for (const TrainingDocument& document : documents({.seed = 5, .context = context, .mix = mix})) {
    const std::string whole = text_of(document.ids);
    for (const TrainingQuestion& question : document.questions) {
      if (question.kind != QuestionKind::fact) continue;
      const std::string lead = text_of(question.lead), answer = text_of(question.answer);
      REQUIRE(lead.starts_with("\n\n"));
      CHECK(whole.find(lead.substr(2) + answer + ".\n") != std::string::npos);
      n_words.insert(static_cast<size_t>(std::count(answer.begin(), answer.end(), ' ')));
    }
  }
  CHECK(n_words == std::set<size_t>{1, 2, 3});
}

TEST_CASE(
    "training documents - in every fourth a few sentences over and over are the text, of which nothing is "
    "asked") {
  const DocumentMix mix{.n_facts = 4, .sentence_share = 0, .refrain_share = 0.25, .n_random = 1};
  const std::vector<TrainingDocument> all = documents({.seed = 13, .context = context, .mix = mix});
  for (size_t i = 0; i < all.size(); ++i) {
    CAPTURE(i);
    const TrainingDocument& document = all[i];
    const bool is_refrain = i % 4 == 3;
    CHECK(document.ids.size() == context);
    CHECK(n_of(document, QuestionKind::fact) >= 2);
    CHECK(n_of(document, QuestionKind::repeat) == (is_refrain ? 0 : 3));
    CHECK(n_of(document, QuestionKind::continuation) == (is_refrain ? 0 : 1));
    for (const TrainingQuestion& question : document.questions) {
      if (!is_refrain) continue;
      const std::string answer = text_of(question.answer);
      CHECK(answer.find_first_not_of("0123456789") == std::string::npos);
      CHECK(answer.size() >= 8);
    }
    constexpr ptrdiff_t n_window = 16;
    std::set<std::vector<int32_t>> windows;
    for (auto at = document.ids.begin(); document.ids.end() - at >= n_window; ++at)
      windows.emplace(at, at + n_window);
    // Passages of at most 72 tokens (and a break near), a few facts, and what lies across their edges.
    if (is_refrain) CHECK(windows.size() < context / 2);
    if (!is_refrain) CHECK(windows.size() > context * 3 / 4);
  }
}

TEST_CASE("training documents - there are many wordings, and two that nothing is trained on") {
  CHECK(n_asked_wordings(DocumentSet::training) >= 10);
  CHECK(n_sentence_wordings(DocumentSet::training) >= 6);
  CHECK(n_asked_wordings(DocumentSet::held_out) == 2);
  CHECK(n_sentence_wordings(DocumentSet::held_out) == 2);
  // A statement that many documents make begins as its wording does, whatever its names.
  const auto wordings = [](DocumentSet set) {
    std::set<std::string> found;
    Draws draws(6);
    WordSupply words({"mm"}, draws);  // one word for all keys
    for (int i = 0; i < 1000; ++i) {
      std::string text = asked_fact(set, words, draws).text;
      std::erase_if(text, [](char c) { return (c >= '0' && c <= '9') || c == '\n'; });
      found.insert(text.substr(text.find_first_not_of(' ')));
    }
    return found;
  };
  const std::set<std::string> trained = wordings(DocumentSet::training);
  const std::set<std::string> held_out = wordings(DocumentSet::held_out);
  CHECK(trained.size() == n_asked_wordings(DocumentSet::training));
  CHECK(held_out.size() == 2);
  for (const std::string& text : held_out) CHECK(trained.count(text) == 0);
}

TEST_CASE("training documents - numbers of 2 to 12 digits dominate") {
  Draws draws(7);
  WordSupply words({"anchor", "button", "candle"}, draws);
  size_t n_numbers = 0;
  std::set<size_t> sizes;
  for (int i = 0; i < 1000; ++i) {
    const std::string answer = asked_fact(DocumentSet::training, words, draws).answer;
    if (answer.find_first_not_of("0123456789") != std::string::npos) continue;
    ++n_numbers;
    sizes.insert(answer.size());
  }
  CHECK(n_numbers > 600);
  CHECK(sizes == std::set<size_t>{2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
}

TEST_CASE("training documents - no wording is one of the evaluation's") {
  Draws draws(8);
  std::set<std::string> evaluated;
  for (int i = 0; i < 20; ++i) {
    for (const Needle& needle : keyed_numbers(20, draws)) evaluated.insert(beginning(needle.text));
  }
  evaluated.insert(beginning(passkey(draws).text));
  evaluated.insert(beginning(digit_sequence(draws).text));
  for (int i = 0; i < 20; ++i) {
    for (const Needle& needle : sentence_facts(8, draws))
      evaluated.insert(needle.question.substr(needle.question.size() - 16));
  }
  REQUIRE(evaluated.size() > 14);
  std::string all;
  for (const DocumentSet set : {DocumentSet::training, DocumentSet::held_out}) {
    for (const TrainingDocument& document : documents({.seed = 9, .context = context, .set = set})) {
      all += text_of(document.ids);
      for (const TrainingQuestion& question : document.questions) all += text_of(question.lead);
    }
  }
  for (const std::string& sentence : evaluated) CHECK(all.find(sentence) == std::string::npos);
  CHECK(all.find("\n\nQuestion: ") == std::string::npos);
  CHECK(all.find(noise_text.substr(0, noise_text.find('.'))) == std::string::npos);
}

TEST_CASE("training documents - the same seed makes the same ones, another seed, index or set others") {
  const TrainingDocumentSettings settings{.seed = 10, .context = context};
  const TrainingDocument document = maker(settings).document(3);
  const TrainingDocument again = maker(settings).document(3);
  CHECK(document.id == "training-3");
  CHECK(document.ids == again.ids);
  REQUIRE(document.questions.size() == again.questions.size());
  for (size_t i = 0; i < document.questions.size(); ++i) {
    CHECK(document.questions[i].lead == again.questions[i].lead);
    CHECK(document.questions[i].answer == again.questions[i].answer);
  }
  CHECK(document.ids != maker(settings).document(4).ids);
  CHECK(document.ids != maker({.seed = 11, .context = context}).document(3).ids);
  const TrainingDocument held_out =
      maker({.seed = 10, .context = context, .set = DocumentSet::held_out}).document(3);
  CHECK(held_out.id == "held_out-3");
  CHECK(document.ids != held_out.ids);
}

TEST_CASE("training documents - text in another script is made documents of too") {
  std::vector<std::string> lines;
  for (int i = 0; i < 80; ++i)
    lines.push_back("Мир и война. Война и мир. Все смешалось в доме " + std::to_string(i));
  const TrainingDocument document =
      TrainingDocumentMaker(tokenizer(), lines, {.context = context}).document(0);
  CHECK(document.ids.size() == context);
  CHECK(n_of(document, QuestionKind::fact) >= 2);
}

TEST_CASE("training documents - short ones hold fewer facts, and half of them is text") {
  const DocumentMix mix{.refrain_share = 0};
  for (const TrainingDocument& document : documents({.seed = 12, .context = 64, .mix = mix})) {
    CHECK(document.ids.size() == 64);
    CHECK(n_of(document, QuestionKind::repeat) == 3);
  }
}

TEST_CASE("training documents - every file gives a tenth of its lines to the held-out set") {
  std::string a, b;
  for (int i = 0; i < 20; ++i) a += fmt::format("a{}\n\n", i);
  for (int i = 0; i < 11; ++i) b += fmt::format("b{}\n", i);
  const TextFile first(a), second(b);
  const std::vector<std::string> files = {first.path(), second.path()};
  const std::vector<std::string> training = read_training_lines(files, DocumentSet::training);
  const std::vector<std::string> held_out = read_training_lines(files, DocumentSet::held_out);
  CHECK(training.size() == 18 + 9);
  CHECK(held_out == std::vector<std::string>{"a18", "a19", "b9", "b10"});
  CHECK(training[17] == "a17");
  CHECK(training[18] == "b0");
}

TEST_CASE("training documents - what cannot be made is refused with what is needed") {
  CHECK_THROWS_WITH_AS(maker({.context = 63}), doctest::Contains("the least is 64"), Error);
  const DocumentMix nothing{
      .n_facts = 0, .sentence_share = 0.5, .n_random = 2, .n_repeats = 0, .n_continuation = 0};
  CHECK_THROWS_WITH_AS(maker({.mix = nothing}), doctest::Contains("ask for nothing"), Error);
  const TrainingDocumentMaker little(tokenizer(), {"One line."}, {.context = context});
  CHECK_THROWS_WITH_AS(little.document(0), doctest::Contains("text is too short"), Error);
}

}  // namespace tenure::test
