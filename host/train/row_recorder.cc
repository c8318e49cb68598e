#include "train/row_recorder.h"

#include <tenure/scorer.h>

#include <algorithm>
#include <cmath>

#include "train/bfloat16.h"

namespace tenure {
namespace {

PluginManifest manifest_of(uint32_t row_evidence) {
  PluginManifest manifest{.id = "row recorder", .version = "1"};
  manifest.needs.granularity = Granularity::token;  // one side array for all heads: nothing is chosen
  manifest.needs.phases = {Phase::chunk};
  for (const auto& [bit, evidence] : {std::pair{uint32_t{TENURE_EVIDENCE_Q_PRE}, Evidence::q_pre},
                                      std::pair{uint32_t{TENURE_EVIDENCE_K_PRE}, Evidence::k_pre},
                                      std::pair{uint32_t{TENURE_EVIDENCE_V}, Evidence::v},
                                      std::pair{uint32_t{TENURE_EVIDENCE_HIDDEN}, Evidence::hidden}}) {
    if ((row_evidence & bit) != 0) manifest.needs.evidence.push_back(evidence);
  }
  manifest.needs.evidence.push_back(Evidence::q_post);
  manifest.needs.evidence.push_back(Evidence::k_post);
  return manifest;
}

// Rows of a view are contiguous but for their stride.
int64_t width_of(const tenure_f32_view& view) { return view.n_dims == 3 ? view.shape[1] * view.shape[2] : view.shape[1]; }

void copy_rows(const tenure_f32_view& view, uint32_t first, uint32_t n, float* to) {
  const int64_t width = width_of(view);
  for (uint32_t i = 0; i < n; ++i) std::copy_n(view.data + (first + i) * view.stride[0], width, to + i * width);
}

// norms (n, heads of a row)
void take_norms(const tenure_f32_view& view, uint32_t first, uint32_t n, float* norms) {
  const int64_t n_heads = view.n_dims == 3 ? view.shape[1] : 1;
  const auto width = static_cast<uint32_t>(width_of(view) / n_heads);
  for (uint32_t i = 0; i < n; ++i) {
    for (int64_t head = 0; head < n_heads; ++head) {
      const float* const row = view.data + (first + i) * view.stride[0] + head * view.stride[1];
      norms[i * n_heads + head] = std::sqrt(tenure_dot(row, row, width));
    }
  }
}

}  // namespace

const tenure_policy_api RowRecorder::api_ = {
    .head = {.struct_size = sizeof(tenure_policy_api), .rev = 1}, .begin = begin_sequence, .observe = observe};

RowRecorder::RowRecorder(const ModelConfig& config, uint32_t input_evidence, uint32_t label_evidence)
    : input_evidence_(input_evidence),
      label_evidence_(label_evidence),
      n_heads_(config.n_heads),
      configs_(config.layers),
      layers_(config.n_layers),
      policy_(manifest_of(input_evidence | label_evidence), api_, reinterpret_cast<tenure_policy*>(this)) {
  settings_ = {.name = "row recorder",
               .policy = &policy_,
               .granularity = TENURE_GRANULARITY_TOKEN,
               .chunk = 1u << 20,
               .budget = {.kind = BudgetKind::slots, .amount = 1u << 30},
               .k_type = Dtype::f16,
               .v_type = Dtype::f16,
               .when = TENURE_PHASE_CHUNK};
}

void RowRecorder::begin(const DocumentLayout& layout, InputSink sink) {
  layout_ = layout;
  sink_ = std::move(sink);
  failure_ = nullptr;
  n_begun_ = 0;
  for (size_t l = 0; l < layers_.size(); ++l) {
    const LayerConfig& config = configs_[l];
    if (config.window != 0) continue;
    const uint64_t kv_width = uint64_t{config.n_kv_heads} * config.head_dim;
    layers_[l].keys.resize(layout.n_tokens * kv_width);
    layers_[l].question_keys.resize(layout.n_question_rows * kv_width);
    layers_[l].queries.resize(layout.n_label_rows * uint64_t{n_heads_} * config.head_dim);
    layers_[l].value_norms.resize((label_evidence_ & TENURE_EVIDENCE_V) != 0 ? uint64_t{layout.n_tokens} * config.n_kv_heads : 0);
    layers_[l].hidden_norms.resize((label_evidence_ & TENURE_EVIDENCE_HIDDEN) != 0 ? layout.n_label_rows : 0);
  }
}

void RowRecorder::finish() {
  sink_ = nullptr;
  if (failure_) std::rethrow_exception(failure_);
}

// A fork's seq is its question; the trunk's is NULL.
tenure_status RowRecorder::begin_sequence(tenure_policy* policy, const tenure_call*, const tenure_sequence_info* info, tenure_seq** out,
                                          tenure_error*) {
  auto& self = *reinterpret_cast<RowRecorder*>(policy);
  if (info->forked == 0) return TENURE_OK;
  if (self.n_begun_ >= self.layout_.questions.size()) return TENURE_INVALID_STATE;
  *out = reinterpret_cast<tenure_seq*>(&self.layout_.questions[self.n_begun_++]);
  return TENURE_OK;
}

tenure_status RowRecorder::observe(tenure_policy* policy, const tenure_call*, uint32_t layer, uint32_t n,
                                   const tenure_evidence* const* evidence, tenure_status* statuses, tenure_error*) {
  auto& self = *reinterpret_cast<RowRecorder*>(policy);
  for (uint32_t s = 0; s < n; ++s) {
    if (evidence[s]->n_rows == 0) continue;
    const auto* question = reinterpret_cast<const QuestionRows*>(evidence[s]->view->seq);
    try {
      if (question == nullptr) {
        self.record_document(layer, *evidence[s]);
      } else {
        self.record_question(layer, *evidence[s], *question);
      }
    } catch (...) {
      self.failure_ = std::current_exception();
      statuses[s] = TENURE_IO;
    }
  }
  return TENURE_OK;
}

void RowRecorder::record_document(uint32_t layer, const tenure_evidence& e) {
  const auto first = static_cast<uint32_t>(e.first_pos);
  copy_rows(e.k_post, 0, e.n_rows, layers_[layer].keys.data() + first * width_of(e.k_post));
  if ((label_evidence_ & TENURE_EVIDENCE_V) != 0) {
    take_norms(e.v, 0, e.n_rows, layers_[layer].value_norms.data() + uint64_t{first} * configs_[layer].n_kv_heads);
  }
  const std::pair<uint32_t, const tenure_f32_view*> parts[] = {
      {TENURE_EVIDENCE_Q_PRE, &e.q_pre}, {TENURE_EVIDENCE_Q_POST, &e.q_post}, {TENURE_EVIDENCE_K_PRE, &e.k_pre},
      {TENURE_EVIDENCE_V, &e.v},         {TENURE_EVIDENCE_K_POST, &e.k_post}, {TENURE_EVIDENCE_HIDDEN, &e.hidden}};
  int64_t width = 0;
  for (const auto& [bit, view] : parts) width += (input_evidence_ & bit) != 0 ? width_of(*view) : 0;
  input_rows_.resize(static_cast<uint64_t>(e.n_rows * width));
  int64_t column = 0;
  for (const auto& [bit, view] : parts) {
    if ((input_evidence_ & bit) == 0) continue;
    for (uint32_t i = 0; i < e.n_rows; ++i) {
      to_bfloat16(view->data + i * view->stride[0], static_cast<uint64_t>(width_of(*view)), input_rows_.data() + i * width + column);
    }
    column += width_of(*view);
  }
  sink_(layer, first, input_rows_);
}

void RowRecorder::record_question(uint32_t layer, const tenure_evidence& e, const QuestionRows& question) {
  const uint32_t first = static_cast<uint32_t>(e.first_pos) - layout_.n_tokens;  // of the question's rows
  copy_rows(e.k_post, 0, e.n_rows, layers_[layer].question_keys.data() + (question.first_row + first) * width_of(e.k_post));
  const uint32_t first_label = question.n_rows - question.n_label_rows;
  const uint32_t begin = std::max(first, first_label);
  const uint32_t end = first + e.n_rows;
  if (begin >= end) return;
  const uint32_t label_row = question.first_label_row + begin - first_label;
  copy_rows(e.q_post, begin - first, end - begin, layers_[layer].queries.data() + label_row * width_of(e.q_post));
  if ((label_evidence_ & TENURE_EVIDENCE_HIDDEN) != 0) {
    take_norms(e.hidden, begin - first, end - begin, layers_[layer].hidden_norms.data() + label_row);
  }
}

}  // namespace tenure
