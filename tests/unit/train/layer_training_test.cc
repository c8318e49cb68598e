#include "train/layer_training.h"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>

#include "train/bfloat16.h"
#include "train/work_folder.h"
#include "unit/train/trainable_rig.h"

namespace tenure::test {
namespace {

// Features of all layers of a model; labels that a linear network can learn; columns of very different sizes.
class MadeFeatures {
 public:
  MadeFeatures(const Trainable& trainable, std::vector<uint32_t> n_tokens)
      : layout_(std::move(n_tokens), layers_of(trainable)), file_((write(), folder_.name + "/features"), layout_) {}

  const FeatureFile& file() const { return file_; }

 private:
  static std::vector<FeatureLayout::Layer> layers_of(const Trainable& trainable) {
    std::vector<FeatureLayout::Layer> layers;
    for (const TrainableLayer& layer : trainable.layers()) layers.push_back({.n_inputs = layer.n_inputs, .n_outputs = layer.n_outputs});
    return layers;
  }
  int write() {
    FeatureWriter writer(folder_.name + "/features", layout_);
    for (uint32_t l = 0; l < 2; ++l) {
      const auto [n_inputs, n_outputs] = layout_.layer(l);
      for (uint32_t d = 0; d < layout_.n_documents(); ++d) {
        std::vector<uint16_t> rows(uint64_t{layout_.n_tokens(d)} * n_inputs);
        std::vector<float> labels(uint64_t{layout_.n_tokens(d)} * n_outputs);
        for (uint32_t t = 0; t < layout_.n_tokens(d); ++t) {
          std::vector<float> row(n_inputs);
          for (uint32_t i = 0; i < n_inputs; ++i) {
            row[i] = (random_uniform(d, uint64_t{t} * n_inputs + i) - 0.5f) * (i % 7 == 0 ? 40.0f : 0.3f);
          }
          to_bfloat16(row.data(), n_inputs, rows.data() + uint64_t{t} * n_inputs);
          for (uint32_t h = 0; h < n_outputs; ++h) labels[uint64_t{t} * n_outputs + h] = row[0] / 12 - row[1 + h] * 4 - 1;
        }
        writer.write_inputs(l, d, 0, rows);
        writer.write_labels(l, d, labels);
      }
    }
    return 0;
  }

  ScratchFolder folder_;
  FeatureLayout layout_;
  FeatureFile file_;
};

std::vector<uint32_t> bits(const std::vector<std::vector<float>>& parameters) {
  std::vector<uint32_t> all;
  for (const auto& parameter : parameters) {
    for (const float value : parameter) all.push_back(std::bit_cast<uint32_t>(value));
  }
  return all;
}

void run_to(LayerTraining& training, uint64_t step) {
  while (training.state().step < step) training.step();
}

}  // namespace

TEST_CASE("layer training - learns, and says so on documents it did not learn from") {
  TinyHost host;
  const ModelInfo info(host.config());
  for (const char* plugin : {"locret", "kvzap"}) {
    CAPTURE(plugin);
    const TrainableRig rig(host.backend(), info.abi(), plugin, {"documents=6", "epochs=30", "held_out=2", "n_unlabelled=1"});
    const MadeFeatures features(rig.trainable(), {40, 25, 40, 40, 33, 40, 40, 31});
    LayerTraining training(rig.trainable(), features.file(), 1, rig.recipe(), 5);
    CHECK(training.n_steps() == 180);
    run_to(training, 180);
    CHECK(training.is_done());
    const LayerCurve& curve = training.state().curve;
    REQUIRE(curve.losses.size() == 180);
    REQUIRE(curve.held_out.size() == 30);
    CHECK(curve.held_out.back().step == 180);
    CHECK(curve.held_out.back().loss < 0.5f * curve.held_out.front().loss);
    CHECK(curve.held_out.back().overlap > 0.125f);  // what guessing gives
    CHECK(curve.held_out.back().overlap <= 1.0f);
  }
}

TEST_CASE("layer training - taken up at any step gives the same bits, over a file too") {
  TinyHost host;
  const ModelInfo info(host.config());
  const TrainableRig rig(host.backend(), info.abi(), "locret", {"documents=3", "epochs=4", "held_out=1", "d_r=8"});
  const MadeFeatures features(rig.trainable(), {20, 31, 17, 20});
  LayerTraining whole(rig.trainable(), features.file(), 0, rig.recipe(), 9);
  run_to(whole, 12);
  for (const uint64_t stop : {0, 1, 3, 7, 11, 12}) {
    CAPTURE(stop);
    const ScratchFolder folder;
    LayerTraining before(rig.trainable(), features.file(), 0, rig.recipe(), 9);
    run_to(before, stop);
    WorkFolder(folder.name + "/work", "").set_checkpoint(0, before.state());
    LayerTraining after(rig.trainable(), features.file(), 0, rig.recipe(), 9);
    after.restore(WorkFolder(folder.name + "/work", "").checkpoint(0).value());
    run_to(after, 12);
    CHECK(bits(after.unscaled_parameters()) == bits(whole.unscaled_parameters()));
    CHECK(after.state().curve.losses == whole.state().curve.losses);
  }
  LayerTraining other_seed(rig.trainable(), features.file(), 0, rig.recipe(), 10);
  run_to(other_seed, 12);
  CHECK(bits(other_seed.unscaled_parameters()) != bits(whole.unscaled_parameters()));
}

TEST_CASE("layer training - what it gives fits inputs as they are") {
  TinyHost host;
  const ModelInfo info(host.config());
  const TrainableRig rig(host.backend(), info.abi(), "locret", {"documents=2", "epochs=3", "held_out=0"});
  const MadeFeatures features(rig.trainable(), {20, 30});
  LayerTraining training(rig.trainable(), features.file(), 0, rig.recipe(), 1);
  run_to(training, 6);
  const std::vector<std::vector<float>> scaled = training.state().parameters, plain = training.unscaled_parameters();
  CHECK(plain[1] == scaled[1]);
  // A column's factor is 1 over its root mean square over both documents.
  const uint32_t n_inputs = features.file().layout().layer(0).n_inputs;
  for (const uint32_t column : {0u, 1u, n_inputs - 1}) {
    double squares = 0;
    for (uint32_t d = 0; d < 2; ++d) {
      const auto rows = features.file().inputs(0, d);
      for (size_t i = column; i < rows.size(); i += n_inputs) squares += std::pow(double{from_bfloat16(rows[i])}, 2);
    }
    const double factor = 1 / std::sqrt(squares / 50);
    for (size_t i = column; i < plain[0].size(); i += n_inputs) CHECK(plain[0][i] == doctest::Approx(scaled[0][i] * factor).epsilon(1e-5));
  }
}

TEST_CASE("top overlap - counts what the first eighths of a column share") {
  std::vector<float> labels(32), scores(32);  // (16, 2): two of sixteen
  for (uint32_t i = 0; i < 16; ++i) labels[2 * i] = static_cast<float>(i), labels[2 * i + 1] = -static_cast<float>(i);
  scores = labels;
  CHECK(top_overlap(labels, scores, 2, 0) == 1.0f);
  scores[2 * 14] = -5;  // the first column's second
  CHECK(top_overlap(labels, scores, 2, 0) == 0.75f);
  // Without the first row the second column's best are rows 1 and 2, whatever row 0 has.
  scores = labels;
  scores[1] = -100;
  CHECK(top_overlap(labels, scores, 2, 8) == 1.0f);
}

}  // namespace tenure::test
