#include "train/labels.h"

#include <tenure/ext/activations.h>
#include <tenure/policy.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace tenure {
namespace {

constexpr float lowest = -std::numeric_limits<float>::max();

float largest_of(const float* x, uint32_t n) {
  std::array<float, 16> lanes;
  lanes.fill(lowest);
  uint32_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (uint32_t lane = 0; lane < 16; ++lane) lanes[lane] = x[i + lane] > lanes[lane] ? x[i + lane] : lanes[lane];
  }
  for (; i < n; ++i) lanes[i % 16] = std::max(lanes[i % 16], x[i]);
  return *std::max_element(lanes.begin(), lanes.end());
}

// Sum of e^(x - largest), in an order that does not depend on the machine. Over every token of a document for every label row
// this is the larger part of making labels.
float sum_of_exponentials(const float* x, uint32_t n, float largest) {
  std::array<float, 16> lanes{};
  uint32_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (uint32_t lane = 0; lane < 16; ++lane) lanes[lane] += tenure_exp_negative(x[i + lane] - largest);
  }
  for (; i < n; ++i) lanes[i % 16] += tenure_exp_negative(x[i] - largest);
  float sum = 0;
  for (const float lane : lanes) sum += lane;
  return sum;
}

void raise_to(float* best, const float* x, float shift, uint32_t n) {
  for (uint32_t i = 0; i < n; ++i) {
    const float value = x[i] - shift;
    best[i] = value > best[i] ? value : best[i];
  }
}

float dot(const float* a, const float* b, uint32_t n) {
  float sum = 0;
  for (uint32_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

// Finite where a norm is 0, too.
float log_of(float norm) { return std::log(std::max(norm, std::numeric_limits<float>::min())); }

}  // namespace

uint32_t label_evidence(LabelKind kind) {
  return kind == LabelKind::attention_importance_log ? TENURE_EVIDENCE_V | TENURE_EVIDENCE_HIDDEN : 0;
}

void LabelMaker::make(const DocumentLayout& layout, const LayerRowStore& rows, const AttentionShape& shape, std::vector<float>& labels) {
  const uint32_t group = shape.n_heads / shape.n_kv_heads;
  scores_.resize(uint64_t{shape.n_heads} * layout.n_label_rows * layout.n_tokens);
  labels.resize(uint64_t{layout.n_tokens} * shape.n_kv_heads);
  for (uint32_t head = 0; head < shape.n_heads && layout.n_label_rows > 0; ++head) {
    multiply_({.m = layout.n_label_rows,
               .n = layout.n_tokens,
               .k = shape.head_dim,
               .scale = shape.scale,
               .a = rows.queries.data() + uint64_t{head} * shape.head_dim,
               .lda = shape.n_heads * shape.head_dim,
               .b = rows.keys.data() + uint64_t{head / group} * shape.head_dim,
               .ldb = shape.n_kv_heads * shape.head_dim,
               .c = scores_.data() + uint64_t{head} * layout.n_label_rows * layout.n_tokens,
               .ldc = layout.n_tokens});
  }
  for_each_(shape.n_kv_heads, [&](uint32_t kv_head) { reduce(layout, rows, shape, kv_head, labels.data()); });
}

void LabelMaker::reduce(const DocumentLayout& layout, const LayerRowStore& rows, const AttentionShape& shape, uint32_t kv_head,
                        float* labels) const {
  const uint32_t group = shape.n_heads / shape.n_kv_heads;
  const uint32_t n = layout.n_tokens;
  const bool is_softmax = kind_ != LabelKind::attention_logit_max;
  const bool is_importance = kind_ == LabelKind::attention_importance_log;
  std::vector<float> best(n, lowest);
  std::vector<float> own;  // scores of the question's own tokens
  for (uint32_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
    for (const QuestionRows& question : layout.questions) {
      for (uint32_t i = 0; i < question.n_label_rows; ++i) {
        const uint32_t label_row = question.first_label_row + i;
        const float* scores = scores_.data() + (uint64_t{head} * layout.n_label_rows + label_row) * n;
        if (!is_softmax) {
          raise_to(best.data(), scores, 0, n);
          continue;
        }
        const uint32_t n_seen = question.n_rows - question.n_label_rows + i + 1;
        const float* query = rows.queries.data() + (uint64_t{label_row} * shape.n_heads + head) * shape.head_dim;
        own.resize(n_seen);
        for (uint32_t k = 0; k < n_seen; ++k) {
          const uint64_t key_row = uint64_t{question.first_row} + k;
          own[k] = shape.scale * dot(query, rows.question_keys.data() + (key_row * shape.n_kv_heads + kv_head) * shape.head_dim, shape.head_dim);
        }
        const float largest = std::max(largest_of(scores, n), largest_of(own.data(), n_seen));
        const float sum = sum_of_exponentials(scores, n, largest) + sum_of_exponentials(own.data(), n_seen, largest);
        const float input = is_importance ? log_of(rows.hidden_norms[label_row]) : 0;
        raise_to(best.data(), scores, largest + std::log(sum) + input, n);
      }
    }
  }
  for (uint32_t i = 0; i < n; ++i) {
    const uint64_t at = uint64_t{i} * shape.n_kv_heads + kv_head;
    if (is_importance) best[i] += log_of(rows.value_norms[at]);
    labels[at] = is_softmax || layout.n_label_rows == 0 ? std::max(floor_, best[i]) : best[i];
  }
}

}  // namespace tenure
