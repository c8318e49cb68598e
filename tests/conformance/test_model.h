// A seeded model of any shape: its weights as the backend gets them and as doubles.
#pragma once

#include <tenure/model.h>

#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "conformance/subject.h"
#include "reference/linear.h"

namespace tenure::conformance {

struct ModelShape {
  uint32_t n_layers = 1;
  uint32_t n_embd = 64;
  uint32_t n_ff = 96;
  uint32_t n_vocab = 80;
  uint32_t n_heads = 4;
  uint32_t n_kv_heads = 2;
  uint32_t head_dim = 16;
  uint32_t rope_dim = 16;
  uint32_t rope_kind = TENURE_ROPE_INTERLEAVED;
  uint32_t window = 0;
  bool biases = false;
  bool own_output = true;
  bool qk_norm = false;
  bool attn_post_norm = false;
  bool ffn_post_norm = false;
  bool rope_factors = false;  // each pair of its own, else all 1
  double odd_rope_base = 0;   // of odd layers, which have no rope_factors; 0 = they are as the even ones
  uint32_t activation = TENURE_ACTIVATION_SILU;
  float embedding_scale = 1;
  double attention_scale = 0;  // 0 = 1 / sqrt(head_dim)

  uint32_t group_size() const { return n_heads / n_kv_heads; }
  uint32_t n_q() const { return n_heads * head_dim; }
  uint32_t n_kv() const { return n_kv_heads * head_dim; }
};

// Largest sizes of any case's forward.
constexpr uint32_t max_rows = 2000;
constexpr uint32_t max_segments = 64;
constexpr uint32_t max_positions = 2048;

class TestModel {
 public:
  // Changes a weight's values before they are encoded.
  using Edit = std::function<void(uint32_t role, std::vector<double>& values)>;
  // dtype: of every matrix. Given to the backend, which is made ready for forwards.
  TestModel(Backend& backend, const ModelShape& shape, uint32_t dtype, const Edit& edit = {});

  const ModelShape& shape() const { return shape_; }
  uint32_t dtype() const { return dtype_; }
  Backend& backend() const { return backend_; }
  const DeviceWeights& weights() const { return weights_; }
  uint64_t packed_bytes() const { return packed_bytes_; }
  const tenure_layer_info& layer(uint32_t i = 0) const { return layers_[i]; }
  const tenure_model_info& info() const { return info_; }

  const reference::Matrix& matrix(uint32_t role, uint32_t layer = 0) const;
  const reference::Matrix& output() const {
    return matrix(shape_.own_output ? TENURE_WEIGHT_OUTPUT : TENURE_WEIGHT_TOKEN_EMBD);
  }
  std::span<const double> vector(uint32_t role, uint32_t layer = 0) const {
    return matrix(role, layer).values;
  }
  // Empty when the shape has no such norm.
  std::span<const double> gain(uint32_t role) const;
  double epsilon() const { return static_cast<double>(info_.norm_epsilon); }

 private:
  void create();
  void give_factors(const std::vector<float>& factors);
  void add(uint32_t role, uint32_t layer, uint32_t n_out, uint32_t n_in, const Edit& edit);

  Backend& backend_;
  ModelShape shape_;
  uint32_t dtype_;
  std::vector<float> rope_factors_;
  std::vector<tenure_layer_info> layers_;
  tenure_model_info info_{};
  DeviceWeights weights_;
  uint64_t packed_bytes_ = 0;
  std::map<std::pair<uint32_t, uint32_t>, reference::Matrix> matrices_;
};

// A forward over rows with these ids at these positions; begins, runs `ops`, ends and waits.
class TestForward {
 public:
  TestForward(const TestModel& model, std::vector<int32_t> ids, std::vector<int32_t> positions,
              uint32_t n_segments = 0);
  static TestForward of_rows(const TestModel& model, uint32_t n_rows);
  void run(const std::function<void(Backend&, const tenure_forward&)>& ops);
  const std::vector<int32_t>& bad_layers() const { return bad_layers_; }

 private:
  const TestModel& model_;
  std::vector<int32_t> ids_;
  std::vector<int32_t> positions_;
  std::vector<int32_t> bad_layers_;
  tenure_forward forward_;
};

// |got - want| for a product, as a share of the magnitudes it was added up from. Backends may round
// activations to 8 bits a block of 32 where weights are quantised; plain weights take f32 activations.
double product_tolerance(uint32_t dtype);

extern const uint32_t all_weight_dtypes[6];
const char* dtype_name(uint32_t dtype);

}  // namespace tenure::conformance
