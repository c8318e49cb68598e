#include "train/training.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <numeric>

#include "engine/run_to_end.h"
#include "error/error.h"
#include "train/row_recorder.h"

namespace tenure {
namespace {

using Clock = std::chrono::steady_clock;

// What a kill may cost at most.
constexpr std::chrono::seconds between_checkpoints{5};

FeatureLayout features_of(const TrainingJob& job) {
  std::vector<uint32_t> n_tokens;
  for (const TrainingDocument& document : job.documents) n_tokens.push_back(static_cast<uint32_t>(document.ids.size()));
  std::vector<FeatureLayout::Layer> layers;
  for (size_t l = 0; l < job.trainable->layers().size(); ++l) {
    const TrainableLayer& layer = job.trainable->layers()[l];
    const LayerConfig& config = job.config->layers[l];
    if (config.window != 0 && layer.n_outputs != 0) {
      throw Error(Code::plugin_abi, fmt::format("layer {} has a window, so no policy decides on it, yet the plugin learns {} outputs", l, layer.n_outputs));
    }
    if (layer.n_outputs != 0 && layer.n_outputs != config.n_kv_heads) {
      throw Error(Code::plugin_abi,
                  fmt::format("layer {} has {} outputs; labels of this kind are one a KV head, {}", l, layer.n_outputs, config.n_kv_heads));
    }
    layers.push_back({.n_inputs = layer.n_inputs, .n_outputs = layer.n_outputs});
  }
  return {std::move(n_tokens), std::move(layers)};
}

// The document, then each of its questions on a fork: fed, not generated and not scored, since only rows are wanted.
std::shared_ptr<SessionScript> script_of(const TrainingDocument& document, const PolicySettings& settings) {
  auto script = std::make_shared<SessionScript>();
  script->id = document.id;
  script->policy = &settings;
  script->segments.push_back({.ids = document.ids});
  for (const TrainingQuestion& question : document.questions) {
    SegmentScript segment{.ids = question.lead, .fork = true};
    segment.ids.insert(segment.ids.end(), question.answer.begin(), question.answer.end() - 1);
    script->segments.push_back(std::move(segment));
  }
  return script;
}

class Capture {
 public:
  Capture(const TrainingJob& job, const FeatureLayout& layout, const std::string& file)
      : job_(job),
        writer_(file, layout),
        recorder_(*job.config, job.trainable->evidence(), label_evidence(job.recipe.label)),
        labels_(job.recipe.label, static_cast<float>(job.recipe.label_floor), job.multiply, job.for_each) {}

  void run_document(uint32_t d) {
    const TrainingDocument& document = job_.documents[d];
    const DocumentLayout layout = layout_of(document, job_.recipe.n_question_rows);
    recorder_.begin(layout, [&](uint32_t layer, uint32_t first, std::span<const uint16_t> rows) {
      if (job_.trainable->layers()[layer].n_outputs > 0) writer_.write_inputs(layer, d, first, rows);
    });
    const SessionResult result = run_to_end(*job_.engine, script_of(document, recorder_.settings()));
    recorder_.finish();
    if (result.error) {
      throw Error(result.error->code == RowCode::memory ? Code::memory_too_small : Code::internal,
                  fmt::format("document {}: {}", document.id, result.error->message));
    }
    for (uint32_t l = 0; l < job_.config->n_layers; ++l) {
      if (job_.trainable->layers()[l].n_outputs == 0) continue;
      const LayerConfig& config = job_.config->layers[l];
      labels_.make(layout, recorder_.layer(l),
                   {.n_heads = job_.config->n_heads,
                    .n_kv_heads = config.n_kv_heads,
                    .head_dim = config.head_dim,
                    .scale = config.attention_scale},
                   values_);
      writer_.write_labels(l, d, values_);
    }
  }
  void sync() { writer_.sync(); }

 private:
  const TrainingJob& job_;
  FeatureWriter writer_;
  RowRecorder recorder_;
  LabelMaker labels_;
  std::vector<float> values_;
};

// False when it was stopped.
bool capture(const TrainingJob& job, const FeatureLayout& layout, WorkFolder& folder) {
  const auto n = static_cast<uint32_t>(job.documents.size());
  uint32_t n_safe = folder.n_captured();
  if (n_safe >= n) return true;
  Capture capturing(job, layout, folder.features_file());
  const auto save = [&](uint32_t n_done) {
    capturing.sync();
    folder.set_captured(n_done);
    n_safe = n_done;
  };
  auto saved = Clock::now();
  for (uint32_t d = n_safe; d < n; ++d) {
    if (*job.stop) {
      save(d);
      return false;
    }
    job.say({.phase = TrainingProgress::Phase::capture, .n_done = d, .n_all = n, .share = static_cast<double>(d) / n});
    capturing.run_document(d);
    if (Clock::now() - saved < between_checkpoints) continue;
    save(d + 1);
    saved = Clock::now();
  }
  save(n);
  return true;
}

float mean_of_last(const std::vector<float>& losses) {
  const size_t n = std::min<size_t>(losses.size(), 16);
  return n == 0 ? 0 : std::accumulate(losses.end() - static_cast<ptrdiff_t>(n), losses.end(), 0.0f) / static_cast<float>(n);
}

void check_finite(const LayerTraining& training, uint32_t layer) {
  if (std::isfinite(training.state().curve.losses.back())) return;
  throw Error({.code = Code::plugin_failed,
               .text = fmt::format("layer {}: the loss is not finite at step {}", layer, training.state().step),
               .help = "a smaller learning_rate"});
}

// Nothing when it was stopped.
std::optional<TrainedLayer> train_layer(const TrainingJob& job, const FeatureFile& features, WorkFolder& folder, TrainingProgress progress) {
  LayerTraining training(*job.trainable, features, progress.layer, job.recipe, job.seed);
  if (auto state = folder.checkpoint(progress.layer)) training.restore(std::move(*state));
  auto saved = Clock::now();
  progress.n_steps = training.n_steps();
  while (!training.is_done()) {
    if (*job.stop) {
      folder.set_checkpoint(progress.layer, training.state());
      return std::nullopt;
    }
    training.step();
    check_finite(training, progress.layer);
    const LayerState& state = training.state();
    progress.step = state.step;
    progress.loss = mean_of_last(state.curve.losses);
    if (!state.curve.held_out.empty()) progress.held_out = state.curve.held_out.back();
    progress.share = (progress.n_done + static_cast<double>(state.step) / static_cast<double>(training.n_steps())) / progress.n_all;
    job.say(progress);
    if (Clock::now() - saved < between_checkpoints) continue;
    folder.set_checkpoint(progress.layer, state);
    saved = Clock::now();
  }
  return TrainedLayer{.parameters = training.unscaled_parameters(), .curve = training.state().curve};
}

}  // namespace

std::optional<std::vector<TrainedLayer>> train(const TrainingJob& job, WorkFolder& folder) {
  const FeatureLayout layout = features_of(job);
  if (!capture(job, layout, folder)) return std::nullopt;
  const FeatureFile features(folder.features_file(), layout);
  std::vector<TrainedLayer> trained(job.config->n_layers);
  TrainingProgress progress{.phase = TrainingProgress::Phase::layers};
  for (uint32_t l = 0; l < job.config->n_layers; ++l) progress.n_all += layout.layer(l).n_outputs > 0 ? 1 : 0;
  for (uint32_t l = 0; l < job.config->n_layers; ++l) {
    if (layout.layer(l).n_outputs == 0) continue;
    progress.layer = l;
    std::optional<TrainedLayer> layer = folder.trained(l);
    if (!layer) {
      layer = train_layer(job, features, folder, progress);
      if (!layer) return std::nullopt;
      folder.set_trained(l, *layer);
      features.drop(l);
    }
    trained[l] = std::move(*layer);
    ++progress.n_done;
  }
  return trained;
}

}  // namespace tenure
