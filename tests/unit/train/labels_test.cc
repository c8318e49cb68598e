#include "train/labels.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "plugin/host_services.h"
#include "unit/train/training_goldens.h"

namespace tenure::test {
namespace {

void multiply(const MatrixProduct& p) {
  for (uint32_t i = 0; i < p.m; ++i) {
    for (uint32_t j = 0; j < p.n; ++j) {
      double sum = 0;
      for (uint32_t x = 0; x < p.k; ++x) sum += double{p.a[uint64_t{i} * p.lda + x]} * p.b[uint64_t{j} * p.ldb + x];
      p.c[uint64_t{i} * p.ldc + j] = static_cast<float>(p.scale * sum);
    }
  }
}

void for_each(uint32_t n, const std::function<void(uint32_t)>& task) {
  for (uint32_t i = n; i-- > 0;) task(i);
}

// The definition, label by label, in double precision.
std::vector<float> by_definition(LabelKind kind, double floor, const DocumentLayout& layout, const LayerRowStore& rows, const AttentionShape& s) {
  const auto dot = [&](const float* q, const float* k) {
    double sum = 0;
    for (uint32_t d = 0; d < s.head_dim; ++d) sum += double{q[d]} * k[d];
    return sum * s.scale;
  };
  std::vector<float> labels(uint64_t{layout.n_tokens} * s.n_kv_heads);
  for (uint32_t token = 0; token < layout.n_tokens; ++token) {
    for (uint32_t kv = 0; kv < s.n_kv_heads; ++kv) {
      double best = -std::numeric_limits<double>::infinity();
      for (const QuestionRows& question : layout.questions) {
        for (uint32_t i = 0; i < question.n_label_rows; ++i) {
          for (uint32_t head = 0; head < s.n_heads; ++head) {
            if (head / (s.n_heads / s.n_kv_heads) != kv) continue;
            const float* query = &rows.queries[(uint64_t{question.first_label_row + i} * s.n_heads + head) * s.head_dim];
            const double score = dot(query, &rows.keys[(uint64_t{token} * s.n_kv_heads + kv) * s.head_dim]);
            double sum = 0;
            for (uint32_t t = 0; t < layout.n_tokens; ++t) sum += std::exp(dot(query, &rows.keys[(uint64_t{t} * s.n_kv_heads + kv) * s.head_dim]));
            for (uint32_t k = 0; k <= question.n_rows - question.n_label_rows + i; ++k) {
              sum += std::exp(dot(query, &rows.question_keys[(uint64_t{question.first_row + k} * s.n_kv_heads + kv) * s.head_dim]));
            }
            double value = kind == LabelKind::attention_logit_max ? score : score - std::log(sum);
            if (kind == LabelKind::attention_importance_log) {
              value = std::log(std::exp(value) * rows.value_norms[token * s.n_kv_heads + kv] / rows.hidden_norms[question.first_label_row + i]);
            }
            best = std::max(best, kind == LabelKind::attention_logit_max ? value : std::max(floor, value));
          }
        }
      }
      labels[uint64_t{token} * s.n_kv_heads + kv] = static_cast<float>(best);
    }
  }
  return labels;
}

std::vector<float> random_floats(size_t n, uint64_t seed) {
  std::vector<float> values(n);
  for (size_t i = 0; i < n; ++i) values[i] = 4 * random_uniform(seed, i) - 2;
  return values;
}

std::vector<float> random_norms(size_t n, uint64_t seed) {
  std::vector<float> values = random_floats(n, seed);
  for (float& value : values) value = 0.1f + std::fabs(value);
  return values;
}

TrainingDocument document_of(uint32_t n_tokens, std::initializer_list<std::pair<size_t, size_t>> leads_and_answers) {
  TrainingDocument document{.ids = std::vector<int32_t>(n_tokens)};
  for (const auto& [lead, answer] : leads_and_answers) {
    document.questions.push_back({.lead = std::vector<int32_t>(lead), .answer = std::vector<int32_t>(answer)});
  }
  return document;
}

}  // namespace

TEST_CASE("labels - label rows are those that predict the answer and the last that ask") {
  const DocumentLayout layout = layout_of(document_of(50, {{12, 3}, {1, 5}, {4, 1}}), 8);
  CHECK(layout.n_tokens == 50);
  REQUIRE(layout.questions.size() == 3);
  // 12 + 3 - 1 tokens fed; the rows of tokens 3 to 10 ask, those of 11, 12 and 13 predict.
  CHECK(layout.questions[0].n_rows == 14);
  CHECK(layout.questions[0].n_label_rows == 11);
  // A continuation: its one token asks for the first of five.
  CHECK(layout.questions[1].first_row == 14);
  CHECK(layout.questions[1].n_rows == 5);
  CHECK(layout.questions[1].first_label_row == 11);
  CHECK(layout.questions[1].n_label_rows == 5);
  CHECK(layout.questions[2].n_rows == 4);
  CHECK(layout.questions[2].n_label_rows == 4);
  CHECK(layout.n_question_rows == 23);
  CHECK(layout.n_label_rows == 20);
  CHECK(layout_of(document_of(50, {{12, 3}}), 0).n_label_rows == 3);
}

TEST_CASE("labels - are what PyTorch makes of the same rows") {
  const auto& golden = training_goldens()["labels"];
  DocumentLayout layout{.n_tokens = golden["n_tokens"]};
  for (const auto& question : golden["questions"]) {
    layout.questions.push_back({layout.n_question_rows, question["n_rows"], layout.n_label_rows, question["n_label_rows"]});
    layout.n_question_rows += layout.questions.back().n_rows;
    layout.n_label_rows += layout.questions.back().n_label_rows;
  }
  const LayerRowStore rows{.keys = floats(golden["keys"]), .question_keys = floats(golden["question_keys"]), .queries = floats(golden["queries"])};
  const AttentionShape shape{golden["n_heads"], golden["n_kv_heads"], golden["head_dim"], golden["scale"]};
  std::vector<float> labels;
  LabelMaker(LabelKind::attention_logprob_max, golden["floor"], multiply, for_each).make(layout, rows, shape, labels);
  CHECK(largest_error(labels, floats(golden["logprob_max"])) < 1e-5);
  LabelMaker(LabelKind::attention_logit_max, golden["floor"], multiply, for_each).make(layout, rows, shape, labels);
  CHECK(largest_error(labels, floats(golden["logit_max"])) < 1e-5);
}

TEST_CASE("labels - are their definition, whatever the shapes") {
  for (uint64_t seed = 0; seed < 12; ++seed) {
    CAPTURE(seed);
    const uint32_t n_kv_heads = 1 + static_cast<uint32_t>(seed % 3);
    const AttentionShape shape{.n_heads = n_kv_heads * (1 + static_cast<uint32_t>(seed % 2)), .n_kv_heads = n_kv_heads, .head_dim = 8, .scale = 0.7f};
    const uint32_t n_tokens = 15 + 7 * static_cast<uint32_t>(seed);
    const DocumentLayout layout = layout_of(document_of(n_tokens, {{1 + seed, 2}, {3, 1 + seed}}), static_cast<uint32_t>(seed));
    const uint32_t kv_width = n_kv_heads * shape.head_dim;
    const LayerRowStore rows{.keys = random_floats(n_tokens * kv_width, 3 * seed),
                             .question_keys = random_floats(layout.n_question_rows * kv_width, 3 * seed + 1),
                             .queries = random_floats(layout.n_label_rows * shape.n_heads * shape.head_dim, 3 * seed + 2),
                             .value_norms = random_norms(n_tokens * n_kv_heads, 3 * seed),
                             .hidden_norms = random_norms(layout.n_label_rows, 3 * seed + 1)};
    for (const LabelKind kind : {LabelKind::attention_logprob_max, LabelKind::attention_logit_max, LabelKind::attention_importance_log}) {
      std::vector<float> labels;
      LabelMaker(kind, -6, multiply, for_each).make(layout, rows, shape, labels);
      CHECK(largest_error(labels, by_definition(kind, -6, layout, rows, shape)) < 1e-5);
    }
  }
}

TEST_CASE("labels - of a document that nobody asks about are the floor") {
  std::vector<float> labels;
  const LayerRowStore rows{.keys = random_floats(5 * 8, 1)};
  LabelMaker(LabelKind::attention_logprob_max, -12, multiply, for_each)
      .make(layout_of(document_of(5, {}), 8), rows, {.n_heads = 2, .n_kv_heads = 1, .head_dim = 8}, labels);
  CHECK(labels == std::vector<float>(5, -12.0f));
}

}  // namespace tenure::test
