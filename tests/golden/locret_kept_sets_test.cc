// LOCRET's kept sets after every chunk against those that locret_kept_sets.py computed in double precision: the plugin scores
// through a backend's networks, the host's selection chooses.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "cache/selection.h"
#include "golden/seeded_floats.h"
#include "plugin/backend.h"
#include "plugin/lent_tensors.h"
#include "plugin/library.h"
#include "plugin/policy.h"

namespace tenure {
namespace {

using Json = nlohmann::json;

constexpr uint64_t stream = 5000;

Library built(const std::string& folder, const std::string& name) {
  const std::filesystem::path root = std::filesystem::path(std::getenv("TENURE_BUILD_DIR")) / "lib/tenure" / folder;
  return {plugin_at(root / ("libtenure_" + name + ".so")), {}};
}

// One prompt, chunk by chunk, through the plugin's hooks in the order the host calls them.
class Prompt {
 public:
  Prompt(const Json& golden, size_t index, const Backend& backend, const Library& library, int64_t closing)
      : golden_(golden), one_(golden["cases"][index]), n_kv_heads_(one_["n_kv_heads"]), head_dim_(one_["head_dim"]) {
    const uint32_t n_layers = golden["n_layers"], n_heads = one_["n_heads"], n_tokens = one_["n_tokens"], d_r = golden["d_R"];
    layers_.resize(n_layers, {.n_kv_heads = n_kv_heads_, .head_dim = head_dim_, .rope_dim = head_dim_});
    model_ = {.head = {.struct_size = sizeof model_},
              .n_layers = n_layers,
              .n_embd = n_heads * head_dim_,
              .n_heads = n_heads,
              .layer_stride = sizeof(tenure_layer_info),
              .layers = layers_.data(),
              .activation = TENURE_ACTIVATION_SILU};
    const uint64_t n_in = uint64_t{n_heads + 2 * n_kv_heads_} * head_dim_;
    names_.reserve(2 * n_layers);
    values_.reserve(2 * n_layers);
    for (uint32_t l = 0; l < n_layers; ++l) {
      const uint64_t base = stream + 1000 * index + 10 * l;
      rows_.push_back({floats(base, uint64_t{n_tokens} * n_heads * head_dim_), floats(base + 1, uint64_t{n_tokens} * n_kv_heads_ * head_dim_),
                       floats(base + 2, uint64_t{n_tokens} * n_kv_heads_ * head_dim_)});
      lend("layers." + std::to_string(l) + ".w1", floats(base + 3, d_r * n_in, 0.25f), d_r, n_in);
      lend("layers." + std::to_string(l) + ".w2", floats(base + 4, uint64_t{n_kv_heads_} * d_r), n_kv_heads_, d_r);
    }
    std::vector<ParamValue> params;
    for (const ParamSpec& spec : library.manifest().params) {
      params.push_back(spec.default_value.value());
      if (spec.name == "closing") params.back().value = closing;
    }
    policy_ = std::make_unique<Policy>(library, model_, std::move(params), PolicyLoan{.backend = &backend, .weights = &weights_});
    tables_.assign(size_t{n_layers} * n_kv_heads_, SlotTable({.score = true, .state_floats = 1}));
  }

  // [chunk][layer][KV head] positions
  Json run(BudgetScope scope) {
    Json chunks = Json::array();
    const uint32_t n_tokens = one_["n_tokens"], chunk = one_["chunk"];
    for (uint32_t first = 0; first < n_tokens; first += chunk) {
      const uint32_t n = std::min(chunk, n_tokens - first);
      for (SlotTable& table : tables_) table.append(static_cast<int32_t>(first), n);
      for (uint32_t l = 0; l < model_.n_layers; ++l) {
        // Two parts of a chunk: the cut must not show.
        observe(l, first, n / 3, n - n / 3);
        observe(l, first + n / 3, n - n / 3, 0);
      }
      decide(scope, first + n, first + n == n_tokens);
      chunks.push_back(held());
    }
    return chunks;
  }

 private:
  struct Rows {
    std::vector<float> q, k, v;
  };

  void lend(std::string name, std::vector<float> values, uint64_t n_out, uint64_t n_in) {
    names_.push_back(std::move(name));
    values_.push_back(std::move(values));
    weights_.tensors.push_back({.head = {.struct_size = sizeof(tenure_tensor)},
                                .name = {names_.back().data(), names_.back().size()},
                                .dtype = TENURE_F32,
                                .n_dims = 2,
                                .shape = {n_out, n_in},
                                .data = values_.back().data(),
                                .bytes = values_.back().size() * sizeof(float)});
  }

  const tenure_view& view(uint32_t layer, uint32_t n_behind) {
    const bool all = layer == TENURE_ALL_LAYERS;
    const size_t first = all ? 0 : size_t{layer} * n_kv_heads_;
    heads_.clear();
    for (size_t i = first; i < (all ? tables_.size() : first + n_kv_heads_); ++i) {
      SlotTable& table = tables_[i];
      heads_.push_back({.pos = table.pos().data(),
                        .score = table.score().data(),
                        .flags = table.flags().data(),
                        .state = table.state().data(),
                        .n_slots = table.size() - n_behind,
                        .budget = one_["budget"]});
    }
    view_ = {.head = {.struct_size = sizeof view_},
             .n_heads = static_cast<uint32_t>(heads_.size()),
             .head_stride = sizeof(tenure_head_view),
             .heads = heads_.data(),
             .phase = call_.phase,
             .head_dim = all ? 0 : head_dim_};
    return view_;
  }

  // n_behind: slots after these rows.
  void observe(uint32_t layer, uint32_t first, uint32_t n, uint32_t n_behind) {
    const auto rows = [&](const std::vector<float>& all, uint32_t n_heads) {
      const int64_t width = int64_t{n_heads} * head_dim_;
      return tenure_f32_view{.data = const_cast<float*>(all.data()) + first * width,
                             .n_dims = 3,
                             .shape = {n, n_heads, head_dim_},
                             .stride = {width, head_dim_, 1}};
    };
    const tenure_evidence evidence{.head = {.struct_size = sizeof evidence},
                                   .view = &view(layer, n_behind),
                                   .keepset = &keepset_,
                                   .n_rows = n,
                                   .first_pos = static_cast<int32_t>(first),
                                   .q_pre = rows(rows_[layer].q, model_.n_heads),
                                   .k_pre = rows(rows_[layer].k, n_kv_heads_),
                                   .v = rows(rows_[layer].v, n_kv_heads_)};
    const tenure_evidence* const list[] = {&evidence};
    tenure_status status = TENURE_OK;
    REQUIRE(policy_->observe(call_, layer, list, {&status, 1}).ok());
    REQUIRE(status == TENURE_OK);
  }

  static tenure_status score(tenure_keepset* keepset, uint32_t layer, const float* const* scores, const uint32_t*, tenure_error*) {
    Prompt& self = *static_cast<Prompt*>(keepset->ctx);
    REQUIRE(scores == nullptr);
    const bool all = layer == TENURE_ALL_LAYERS;
    const size_t first = all ? 0 : size_t{layer} * self.n_kv_heads_;
    for (size_t i = first; i < (all ? self.tables_.size() : first + self.n_kv_heads_); ++i) self.tables_[i].score_by_state();
    return TENURE_OK;
  }

  void select(uint32_t layer) {
    const tenure_view* const views[] = {&view(layer, 0)};
    tenure_keepset* const keepsets[] = {&keepset_};
    tenure_status status = TENURE_OK;
    REQUIRE(policy_->select(call_, layer, views, keepsets, {&status, 1}).ok());
    REQUIRE(status == TENURE_OK);
  }

  void decide(BudgetScope scope, uint32_t fed, bool prompt_end) {
    const uint32_t budget = one_["budget"];
    const Protection protection{.n_sink = golden_["n_sink"], .n_stabilizers = budget / 4, .n_local = golden_["n_local"]};
    std::vector<const SlotTable*> pointers;
    for (SlotTable& table : tables_) {
      mark_protected(table, protection, fed, prompt_end);
      pointers.push_back(&table);
    }
    std::vector<KeptSlots> kept(tables_.size());
    if (scope == BudgetScope::global) {
      select(TENURE_ALL_LAYERS);
      const auto floor = static_cast<uint32_t>(golden_["floor"].get<double>() * budget);
      selection_.keep_pooled(pointers, uint64_t{budget} * tables_.size(), floor, UINT32_MAX, kept);
    } else {
      for (uint32_t l = 0; l < model_.n_layers; ++l) select(l);
      for (size_t i = 0; i < tables_.size(); ++i) selection_.keep_best(tables_[i], budget, kept[i]);
    }
    for (size_t i = 0; i < tables_.size(); ++i) {
      Moves moves;
      std::vector<int32_t> released;
      tables_[i].apply(kept[i], true, moves, released);
    }
  }

  Json held() const {
    Json layers = Json::array();
    for (size_t i = 0; i < tables_.size(); ++i) {
      if (i % n_kv_heads_ == 0) layers.push_back(Json::array());
      layers.back().push_back(std::vector<int32_t>(tables_[i].pos().begin(), tables_[i].pos().end()));
    }
    return layers;
  }

  const Json& golden_;
  const Json& one_;
  uint32_t n_kv_heads_, head_dim_;
  std::vector<tenure_layer_info> layers_;
  tenure_model_info model_{};
  std::vector<Rows> rows_;
  std::vector<std::string> names_;
  std::vector<std::vector<float>> values_;
  LentTensors weights_{.file = "heads", .tensors = {}};
  std::unique_ptr<Policy> policy_;
  std::vector<SlotTable> tables_;
  std::vector<tenure_head_view> heads_;
  tenure_view view_{};
  Selection selection_;
  tenure_call call_{.head = {.struct_size = sizeof(tenure_call)}, .phase = TENURE_PHASE_CHUNK};
  tenure_keepset keepset_{.head = {.struct_size = sizeof(tenure_keepset)}, .ctx = this, .score = score};
};

}  // namespace

TEST_CASE("locret - keeps what the paper's chunk loop keeps, by head and globally, on either backend") {
  std::ifstream file("tests/data/locret_kept_sets.json");
  const Json golden = Json::parse(file);
  const Library policy = built("plugins", "policy_locret");
  const std::pair<std::string, std::string> backends[] = {{"plugins", "backend_cpu"}, {"test_plugins", "toy_backend"}};
  for (const auto& [folder, name] : backends) {
    CAPTURE(name);
    const Library library = built(folder, name);
    const Backend backend(library, {});
    for (size_t index = 0; index < golden["cases"].size(); ++index) {
      CAPTURE(index);
      for (const Json& sets : golden["cases"][index]["sets"]) {
        const int64_t closing = sets["closing"];
        CAPTURE(closing);
        CHECK(Prompt(golden, index, backend, policy, closing).run(BudgetScope::head) == sets["head"]);
        CHECK(Prompt(golden, index, backend, policy, closing).run(BudgetScope::global) == sets["global"]);
      }
    }
  }
}

}  // namespace tenure
