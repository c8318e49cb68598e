#include "plugin/trainable.h"

#include <fmt/format.h>
#include <tenure/backend.h>

#include <algorithm>

#include "error/error.h"
#include "plugin/call.h"
#include "plugin/config_values.h"
#include "plugin/table.h"

namespace tenure {
namespace {

constexpr uint32_t known_inputs = TENURE_EVIDENCE_Q_PRE | TENURE_EVIDENCE_Q_POST | TENURE_EVIDENCE_K_PRE | TENURE_EVIDENCE_V |
                                  TENURE_EVIDENCE_K_POST | TENURE_EVIDENCE_HIDDEN;
constexpr uint64_t most_elements = uint64_t{1} << 31;  // of a tensor

[[noreturn]] void refuse(const Library& library, const std::string& why) {
  throw Error(Code::plugin_abi, fmt::format("plugin \"{}\": {}", library.id(), why));
}

bool is_name(std::string_view name) {
  const auto is_letter = [](char c) { return c >= 'a' && c <= 'z'; };
  return !name.empty() && name.size() <= 64 && is_letter(name.front()) && std::all_of(name.begin(), name.end(), [&](char c) {
    return is_letter(c) || (c >= '0' && c <= '9') || c == '_';
  });
}

}  // namespace

uint64_t TrainableParameter::n_elements() const {
  uint64_t n = 1;
  for (const uint64_t extent : shape) n *= extent;
  return n;
}

uint64_t TrainableLayer::n_elements() const {
  uint64_t n = 0;
  for (const TrainableParameter& parameter : parameters) n += parameter.n_elements();
  return n;
}

uint32_t n_inputs(const tenure_model_info& model, uint32_t layer, uint32_t evidence) {
  const auto* info = reinterpret_cast<const tenure_layer_info*>(reinterpret_cast<const char*>(model.layers) + uint64_t{layer} * model.layer_stride);
  const uint32_t q_width = model.n_heads * info->head_dim;
  const uint32_t kv_width = info->n_kv_heads * info->head_dim;
  uint32_t n = 0;
  for (const auto& [bit, width] : {std::pair<uint32_t, uint32_t>{TENURE_EVIDENCE_Q_PRE, q_width},
                                   {TENURE_EVIDENCE_Q_POST, q_width},
                                   {TENURE_EVIDENCE_K_PRE, kv_width},
                                   {TENURE_EVIDENCE_V, kv_width},
                                   {TENURE_EVIDENCE_K_POST, kv_width},
                                   {TENURE_EVIDENCE_HIDDEN, model.n_embd}}) {
    if ((evidence & bit) != 0) n += width;
  }
  return n;
}

Trainable::Trainable(const Library& library, const tenure_model_info& model, std::vector<ParamValue> params, const Backend& backend)
    : library_(library),
      scope_{.library = &library.services(), .backend = &backend},
      host_(library.services().host_of(scope_)),
      model_(model) {
  const auto* table = static_cast<const tenure_trainable_api*>(library.query(TENURE_TRAINABLE_INTERFACE, 1));
  const std::string& id = library.id();
  if (table == nullptr || library.manifest().recipes.empty()) {
    throw Error(Code::plugin_refused,
                fmt::format("policy \"{}\" has nothing to train: {}", id,
                            table == nullptr ? "it does not offer " TENURE_TRAINABLE_INTERFACE : "its manifest has no [[recipe]]"));
  }
  api_ = copy_known(table, id, TENURE_TRAINABLE_INTERFACE);
  require_slot(api_.create, id, "create");
  require_slot(api_.destroy, id, "destroy");
  require_slot(api_.evidence, id, "evidence");
  require_slot(api_.layer, id, "layer");
  require_slot(api_.loss_and_gradient, id, "loss_and_gradient");
  require_slot(api_.scores, id, "scores");
  const ConfigValues config(library.manifest().training, std::move(params));
  throw_unless_ok(call_plugin(id, "trainable.create", [&](tenure_error* error) {
    return api_.create(&host_, &model, config.config(), &self_, error);
  }));
  try {
    read_evidence();
    for (uint32_t l = 0; l < model.n_layers; ++l) layers_.push_back(read_layer(l));
  } catch (...) {
    api_.destroy(self_);
    throw;
  }
}

Trainable::~Trainable() {
  call_plugin(library_.id(), "trainable.destroy", [&](tenure_error*) {
    api_.destroy(self_);
    return TENURE_OK;
  });
}

void Trainable::read_evidence() {
  throw_unless_ok(call_plugin(library_.id(), "trainable.evidence", [&](tenure_error* error) { return api_.evidence(self_, &evidence_, error); }));
  if (evidence_ != 0 && (evidence_ & ~known_inputs) == 0) return;
  refuse(library_, fmt::format("trainable.evidence says {:#x}; input rows are of Q_PRE, Q_POST, K_PRE, V, K_POST and HIDDEN", evidence_));
}

TrainableLayer Trainable::read_layer(uint32_t layer) const {
  tenure_trainable_layer raw{};
  raw.head.struct_size = sizeof raw;
  throw_unless_ok(call_plugin(library_.id(), "trainable.layer", [&](tenure_error* error) { return api_.layer(self_, layer, &raw, error); }));
  TrainableLayer result{.n_inputs = raw.n_inputs, .n_outputs = raw.n_outputs};
  if (raw.n_outputs == 0) return result;
  if (const uint32_t counted = tenure::n_inputs(model_, layer, evidence_); raw.n_inputs != counted) {
    refuse(library_, fmt::format("layer {}: {} inputs, its evidence has {}", layer, raw.n_inputs, counted));
  }
  if (raw.n_parameters == 0 || raw.n_parameters > 64 || raw.parameters == nullptr ||
      raw.parameter_stride < sizeof(tenure_head)) {
    refuse(library_, fmt::format("layer {} lists {} parameters; 1 to 64 are allowed", layer, raw.n_parameters));
  }
  for (uint32_t p = 0; p < raw.n_parameters; ++p) {
    const auto* at = reinterpret_cast<const char*>(raw.parameters) + uint64_t{p} * raw.parameter_stride;
    const auto parameter = copy_known(reinterpret_cast<const tenure_trainable_parameter*>(at), library_.id(), "trainable parameter");
    result.parameters.push_back(read_parameter(parameter, layer));
  }
  const std::vector<uint64_t>& first = result.parameters.front().shape;
  if (first.back() != raw.n_inputs) {
    refuse(library_, fmt::format("layer {}: the first parameter has {} columns, the input rows {}", layer, first.back(), raw.n_inputs));
  }
  return result;
}

TrainableParameter Trainable::read_parameter(const tenure_trainable_parameter& raw, uint32_t layer) const {
  const std::string_view name = raw.name.ptr == nullptr ? std::string_view() : std::string_view(raw.name.ptr, raw.name.len);
  if (!is_name(name)) refuse(library_, fmt::format("layer {}: a parameter's name is not of [a-z][a-z0-9_]*", layer));
  if (raw.n_dims == 0 || raw.n_dims > 4) refuse(library_, fmt::format("layer {}: \"{}\" has {} dimensions; 1 to 4", layer, name, raw.n_dims));
  TrainableParameter result{.name = std::string(name), .initial_variance = raw.initial_variance};
  uint64_t n = 1;
  for (uint32_t d = 0; d < raw.n_dims; ++d) {
    if (raw.shape[d] == 0 || raw.shape[d] > most_elements / n) {
      refuse(library_, fmt::format("layer {}: \"{}\" has a dimension of {}", layer, name, raw.shape[d]));
    }
    n *= raw.shape[d];
    result.shape.push_back(raw.shape[d]);
  }
  if (!(raw.initial_variance >= 0 && raw.initial_variance < 1e6)) {
    refuse(library_, fmt::format("layer {}: \"{}\" starts with a variance of {}", layer, name, raw.initial_variance));
  }
  return result;
}

float Trainable::loss_and_gradient(const tenure_training_batch& batch, std::span<float* const> gradients) const {
  float loss = 0;
  throw_unless_ok(call_plugin(library_.id(), "trainable.loss_and_gradient", [&](tenure_error* error) {
    return api_.loss_and_gradient(self_, &batch, &loss, gradients.data(), error);
  }));
  return loss;
}

void Trainable::scores(const tenure_training_batch& batch, float* out) const {
  throw_unless_ok(call_plugin(library_.id(), "trainable.scores", [&](tenure_error* error) { return api_.scores(self_, &batch, out, error); }));
}

}  // namespace tenure
