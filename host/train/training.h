// From documents to trained layers: capture, then layer after layer. Run again with the same job it goes on where it was.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <vector>

#include "engine/engine.h"
#include "plugin/trainable.h"
#include "train/labels.h"
#include "train/training_document.h"
#include "train/work_folder.h"

namespace tenure {

struct TrainingProgress {
  enum class Phase : uint8_t { capture, layers };
  Phase phase = Phase::capture;
  uint32_t n_done = 0;  // documents, or layers
  uint32_t n_all = 0;
  uint32_t layer = 0;
  uint64_t step = 0;  // of the layer
  uint64_t n_steps = 0;
  float loss = 0;                        // mean of the last steps
  std::optional<HeldOutPoint> held_out;  // the last
  double share = 0;                      // of this phase that is done
};

// All that is pointed to outlives the training.
struct TrainingJob {
  const ModelConfig* config = nullptr;
  const Trainable* trainable = nullptr;
  Engine* engine = nullptr;
  Recipe recipe;
  uint64_t seed = 0;
  std::vector<TrainingDocument> documents;  // recipe.documents to learn from, then those that judge
  Multiply multiply;
  ForEach for_each;
  const std::atomic<bool>* stop = nullptr;
  std::function<void(const TrainingProgress&)> say;  // this thread; often
};

// (n_layers) empty where nothing is learned. Nothing when it was stopped: the folder then has all there is. Throws Error.
std::optional<std::vector<TrainedLayer>> train(const TrainingJob& job, WorkFolder& folder);

}  // namespace tenure
