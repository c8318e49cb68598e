#include "train/layer_training.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "plugin/host_services.h"
#include "train/adamw.h"
#include "train/bfloat16.h"

namespace tenure {
namespace {

// A number for every purpose of a layer.
uint64_t seed_of(uint64_t seed, uint32_t layer, uint64_t purpose) { return random_bits(random_bits(seed, layer), purpose); }

constexpr uint64_t starts = 1;  // purposes; an epoch's order is 1000 + its number
constexpr uint64_t orders = 1000;

// Box and Muller: a normal value from two uniform ones.
float normal(uint64_t seed, uint64_t counter) {
  const double u = (static_cast<double>(random_bits(seed, 2 * counter) >> 11) + 1) * 0x1p-53;  // in (0, 1]
  const double v = static_cast<double>(random_bits(seed, 2 * counter + 1) >> 11) * 0x1p-53;
  return static_cast<float>(std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v));
}

std::vector<uint32_t> first_eighth(std::span<const float> values, uint32_t n_columns, uint32_t column, uint32_t first_row) {
  const auto n_rows = static_cast<uint32_t>(values.size() / n_columns);
  std::vector<uint32_t> rows(n_rows - first_row);
  std::iota(rows.begin(), rows.end(), first_row);
  const size_t k = std::max<size_t>(1, rows.size() / 8);
  const auto before = [&](uint32_t a, uint32_t b) {
    const float x = values[uint64_t{a} * n_columns + column], y = values[uint64_t{b} * n_columns + column];
    return x != y ? x > y : a < b;
  };
  std::nth_element(rows.begin(), rows.begin() + static_cast<ptrdiff_t>(k - 1), rows.end(), before);
  rows.resize(k);
  std::sort(rows.begin(), rows.end());
  return rows;
}

}  // namespace

float top_overlap(std::span<const float> labels, std::span<const float> scores, uint32_t n_columns, uint32_t first_row) {
  double sum = 0;
  for (uint32_t column = 0; column < n_columns; ++column) {
    const std::vector<uint32_t> truth = first_eighth(labels, n_columns, column, first_row);
    const std::vector<uint32_t> guess = first_eighth(scores, n_columns, column, first_row);
    std::vector<uint32_t> both;
    std::set_intersection(truth.begin(), truth.end(), guess.begin(), guess.end(), std::back_inserter(both));
    sum += static_cast<double>(both.size()) / static_cast<double>(truth.size());
  }
  return static_cast<float>(sum / n_columns);
}

LayerTraining::LayerTraining(const Trainable& trainable, const FeatureFile& features, uint32_t layer, const Recipe& recipe, uint64_t seed)
    : trainable_(trainable),
      features_(features),
      layer_(layer),
      recipe_(recipe),
      seed_(seed),
      n_learned_(std::min(recipe.documents, features.layout().n_documents())) {
  find_scales();
  start_parameters();
  inputs_.resize(uint64_t{features.layout().longest()} * scales_.size());
}

// Over every row that is learned from. A column of nearly nothing is left as it is.
void LayerTraining::find_scales() {
  const uint32_t n = features_.layout().layer(layer_).n_inputs;
  std::vector<double> squares(n, 0.0);
  std::vector<float> row_squares(n);  // of one document: f32 adds that many without loss that would matter
  uint64_t n_rows = 0;
  for (uint32_t d = 0; d < n_learned_; ++d) {
    const std::span<const uint16_t> rows = features_.inputs(layer_, d);
    std::fill(row_squares.begin(), row_squares.end(), 0.0f);
    for (size_t first = 0; first < rows.size(); first += n) {
      for (uint32_t i = 0; i < n; ++i) {
        const float x = from_bfloat16(rows[first + i]);
        row_squares[i] += x * x;
      }
    }
    for (uint32_t i = 0; i < n; ++i) squares[i] += row_squares[i];
    n_rows += features_.layout().n_tokens(d);
  }
  constexpr double least = 1e-3;
  scales_.resize(n);
  for (uint32_t i = 0; i < n; ++i) {
    scales_[i] = static_cast<float>(1 / std::max(least, std::sqrt(squares[i] / static_cast<double>(n_rows))));
  }
}

void LayerTraining::start_parameters() {
  const TrainableLayer& layer = trainable_.layers()[layer_];
  for (size_t p = 0; p < layer.parameters.size(); ++p) {
    const TrainableParameter& parameter = layer.parameters[p];
    const uint64_t seed = seed_of(seed_, layer_, starts + p);
    const double deviation = std::sqrt(parameter.initial_variance);
    std::vector<float> values(parameter.n_elements(), 0.0f);
    for (uint64_t i = 0; i < values.size() && deviation > 0; ++i) values[i] = static_cast<float>(deviation * normal(seed, i));
    state_.first.emplace_back(values.size(), 0.0f);
    state_.second.emplace_back(values.size(), 0.0f);
    gradients_.emplace_back(values.size(), 0.0f);
    gradient_list_.push_back(gradients_.back().data());
    state_.parameters.push_back(std::move(values));
  }
}

tenure_training_batch LayerTraining::batch(uint32_t document) {
  const std::span<const uint16_t> rows = features_.inputs(layer_, document);
  const auto n = static_cast<uint32_t>(scales_.size());
  const float* const scales = scales_.data();
  for (size_t first = 0; first < rows.size(); first += n) {
    const uint16_t* const from = rows.data() + first;
    float* const to = inputs_.data() + first;
    for (uint32_t i = 0; i < n; ++i) to[i] = from_bfloat16(from[i]) * scales[i];
  }
  parameter_list_.clear();
  for (const auto& parameter : state_.parameters) parameter_list_.push_back(parameter.data());
  return {.head = {.struct_size = sizeof(tenure_training_batch)},
          .layer = layer_,
          .n_rows = features_.layout().n_tokens(document),
          .n_unlabelled = recipe_.n_unlabelled,
          .inputs = inputs_.data(),
          .labels = features_.labels(layer_, document).data(),
          .parameters = parameter_list_.data()};
}

uint32_t LayerTraining::document_at(uint64_t step) {
  const uint64_t epoch = step / n_learned_;
  if (epoch != order_epoch_) {
    order_.resize(n_learned_);
    std::iota(order_.begin(), order_.end(), 0u);
    const uint64_t seed = seed_of(seed_, layer_, orders + epoch);
    for (uint32_t i = n_learned_ - 1; i > 0; --i) std::swap(order_[i], order_[random_bits(seed, i) % (i + 1)]);
    order_epoch_ = epoch;
  }
  return order_[step % n_learned_];
}

// Up in a line over the warm-up, then down in one.
double LayerTraining::learning_rate() const {
  const auto n = static_cast<double>(n_steps());
  const auto step = static_cast<double>(state_.step);
  const double warm_up = std::max(1.0, std::floor(n * recipe_.warm_up));
  const double up = (step + 1) / warm_up;
  const double down = n > warm_up ? (n - step) / (n - warm_up) : 1;
  return recipe_.learning_rate * std::min({up, down, 1.0});
}

void LayerTraining::step() {
  const tenure_training_batch rows = batch(document_at(state_.step));
  const float loss = trainable_.loss_and_gradient(rows, gradient_list_);
  const AdamW settings{.learning_rate = static_cast<float>(learning_rate()),
                       .beta1 = static_cast<float>(recipe_.beta1),
                       .beta2 = static_cast<float>(recipe_.beta2),
                       .weight_decay = static_cast<float>(recipe_.weight_decay),
                       .value_clip = static_cast<float>(recipe_.value_clip)};
  for (size_t p = 0; p < gradients_.size(); ++p) {
    update(settings, state_.step + 1,
           {.values = state_.parameters[p], .first = state_.first[p], .second = state_.second[p], .gradient = gradients_[p]});
  }
  state_.curve.losses.push_back(loss);
  ++state_.step;
  if (state_.step % n_learned_ == 0) judge();
}

// Documents that nothing is learned from, at the end of an epoch.
void LayerTraining::judge() {
  const FeatureLayout& layout = features_.layout();
  const uint32_t n_outputs = layout.layer(layer_).n_outputs;
  if (layout.n_documents() <= n_learned_) return;
  HeldOutPoint point{.step = static_cast<uint32_t>(state_.step)};
  std::vector<float> scores;
  for (uint32_t d = n_learned_; d < layout.n_documents(); ++d) {
    const tenure_training_batch rows = batch(d);
    point.loss += trainable_.loss_and_gradient(rows, gradient_list_);
    scores.resize(uint64_t{rows.n_rows} * n_outputs);
    trainable_.scores(rows, scores.data());
    point.overlap += top_overlap(features_.labels(layer_, d), scores, n_outputs, recipe_.n_unlabelled);
  }
  const auto n = static_cast<float>(layout.n_documents() - n_learned_);
  point.loss /= n;
  point.overlap /= n;
  state_.curve.held_out.push_back(point);
}

std::vector<std::vector<float>> LayerTraining::unscaled_parameters() const {
  std::vector<std::vector<float>> parameters = state_.parameters;
  std::vector<float>& first = parameters.front();
  for (size_t i = 0; i < first.size(); ++i) first[i] *= scales_[i % scales_.size()];
  return parameters;
}

}  // namespace tenure
