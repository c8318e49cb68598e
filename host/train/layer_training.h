// One layer's network learns from its stretch of the feature file, a document a step. What it is at a step is a value that
// can be put aside and taken up again, bit by bit.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "manifest/recipe.h"
#include "plugin/trainable.h"
#include "train/feature_file.h"

namespace tenure {

// What documents that are not learned from say, after so many steps.
struct HeldOutPoint {
  uint32_t step = 0;
  float loss = 0;
  float overlap = 0;  // share of the true top 12.5 % of a document's tokens that is in the predicted one, mean over heads
};

struct LayerCurve {
  std::vector<float> losses;  // (steps)
  std::vector<HeldOutPoint> held_out;
};

struct LayerState {
  uint64_t step = 0;
  std::vector<std::vector<float>> parameters;  // those three alike
  std::vector<std::vector<float>> first;       // moments
  std::vector<std::vector<float>> second;
  LayerCurve curve;
};

class LayerTraining {
 public:
  // The first recipe.documents of the file teach, the others judge. All arguments outlive it.
  LayerTraining(const Trainable& trainable, const FeatureFile& features, uint32_t layer, const Recipe& recipe, uint64_t seed);

  uint64_t n_steps() const { return uint64_t{recipe_.epochs} * n_learned_; }
  bool is_done() const { return state_.step >= n_steps(); }
  void step();
  const LayerState& state() const { return state_; }
  void restore(LayerState state) { state_ = std::move(state); }
  // The parameters for inputs as they are, not divided by their root mean squares.
  std::vector<std::vector<float>> unscaled_parameters() const;

 private:
  void find_scales();
  void start_parameters();
  // The document's rows over their root mean squares; valid until the next call.
  tenure_training_batch batch(uint32_t document);
  uint32_t document_at(uint64_t step);
  double learning_rate() const;
  void judge();

  const Trainable& trainable_;
  const FeatureFile& features_;
  uint32_t layer_;
  const Recipe& recipe_;
  uint64_t seed_;
  uint32_t n_learned_;
  std::vector<float> scales_;  // (n_inputs) 1 / root mean square
  LayerState state_;
  std::vector<std::vector<float>> gradients_;
  std::vector<float> inputs_;  // (n_tokens of the longest document, n_inputs)
  std::vector<const float*> parameter_list_;
  std::vector<float*> gradient_list_;
  std::vector<uint32_t> order_;  // documents of the epoch
  uint64_t order_epoch_ = UINT64_MAX;
};

// Of each column of (n, n_columns): how much of the true first eighth is in the predicted one; the mean.
float top_overlap(std::span<const float> labels, std::span<const float> scores, uint32_t n_columns, uint32_t first_row);

}  // namespace tenure
