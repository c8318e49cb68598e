// A policy of the host's own that releases nothing and writes down the rows it is shown: how a document's features and the
// rows its labels are made of come out of the engine. Engine's thread while a document runs; anybody's between.
#pragma once

#include <tenure/policy.h>

#include <cstdint>
#include <exception>
#include <functional>
#include <span>
#include <vector>

#include "plugin/policy.h"
#include "session/settings.h"
#include "train/document_rows.h"
#include "weights/model_config.h"

namespace tenure {

// bf16 input rows of a layer: consecutive tokens of the document, the first of them at `first`. May throw.
using InputSink = std::function<void(uint32_t layer, uint32_t first, std::span<const uint16_t> rows)>;

class RowRecorder {
 public:
  // input_evidence: what an input row consists of, in the order of <tenure/ext/trainable.h>; label_evidence: labels.h.
  RowRecorder(const ModelConfig& config, uint32_t input_evidence, uint32_t label_evidence);
  RowRecorder(const RowRecorder&) = delete;
  RowRecorder& operator=(const RowRecorder&) = delete;

  // Bounded, so that hooks run, by a budget that no document reaches.
  const PolicySettings& settings() const { return settings_; }

  // Before a document is submitted: its forks, in order, are the layout's questions.
  void begin(const DocumentLayout& layout, InputSink sink);
  // After it: throws what the sink threw.
  void finish();
  const LayerRowStore& layer(uint32_t layer) const { return layers_[layer]; }

 private:
  static tenure_status begin_sequence(tenure_policy*, const tenure_call*, const tenure_sequence_info*, tenure_seq**, tenure_error*);
  static tenure_status observe(tenure_policy*, const tenure_call*, uint32_t layer, uint32_t n, const tenure_evidence* const* evidence,
                               tenure_status* statuses, tenure_error*);
  void record_document(uint32_t layer, const tenure_evidence& evidence);
  void record_question(uint32_t layer, const tenure_evidence& evidence, const QuestionRows& question);

  static const tenure_policy_api api_;

  uint32_t input_evidence_;
  uint32_t label_evidence_;
  uint32_t n_heads_;
  std::vector<LayerConfig> configs_;  // (n_layers)
  DocumentLayout layout_;
  InputSink sink_;
  std::exception_ptr failure_;
  uint32_t n_begun_ = 0;                // forks
  std::vector<LayerRowStore> layers_;   // (n_layers)
  std::vector<uint16_t> input_rows_;
  Policy policy_;
  PolicySettings settings_;
};

}  // namespace tenure
