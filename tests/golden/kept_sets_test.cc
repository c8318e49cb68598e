// Every policy's kept sets against those that kept_sets.py computed from the papers' formulas in double
// precision, on the same tensors: its own library scores, the host's selection chooses.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "cache/selection.h"
#include "golden/seeded_floats.h"
#include "plugin/library.h"
#include "plugin/policy.h"

namespace tenure {
namespace {

using Json = nlohmann::json;

struct Shape {
  uint32_t n_heads, n_kv_heads, head_dim, n_tokens, budget;
  uint32_t group() const { return n_heads / n_kv_heads; }
};

// One layer's tensors: q (n_tokens, n_heads, head_dim), k and v (n_tokens, n_kv_heads, head_dim).
struct Tensors {
  Tensors(const Shape& s, uint64_t base)
      : q(floats(base + 1, size_t{s.n_tokens} * s.n_heads * s.head_dim)),
        k(floats(base + 3, size_t{s.n_tokens} * s.n_kv_heads * s.head_dim)),
        v(floats(base + 4, size_t{s.n_tokens} * s.n_kv_heads * s.head_dim)) {
    const size_t width = size_t{s.n_kv_heads} * s.head_dim;
    const std::vector<float> kinds = floats(base + 2, 5 * width);
    for (size_t i = 0; i < k.size(); ++i) k[i] += kinds[i / width % 5 * width + i % width];
  }
  std::vector<float> q, k, v;
};

// (n_tokens) softmax weights of the last n_rows rows added up, the mean over heads [first, first + n).
std::vector<float> mass_of(const Shape& s, const Tensors& t, uint32_t n_rows, uint32_t first, uint32_t n) {
  std::vector<double> mass(s.n_tokens), weights(s.n_tokens);
  for (uint32_t head = first; head < first + n; ++head) {
    for (uint32_t row = s.n_tokens - n_rows; row < s.n_tokens; ++row) {
      double largest = -INFINITY, sum = 0;
      for (uint32_t i = 0; i <= row; ++i) {
        weights[i] = 0;
        for (uint32_t d = 0; d < s.head_dim; ++d) {
          weights[i] += double{t.q[(size_t{row} * s.n_heads + head) * s.head_dim + d]} *
                        double{t.k[(size_t{i} * s.n_kv_heads + head / s.group()) * s.head_dim + d]};
        }
        weights[i] /= std::sqrt(s.head_dim);
        largest = std::max(largest, weights[i]);
      }
      for (uint32_t i = 0; i <= row; ++i) sum += weights[i] = std::exp(weights[i] - largest);
      for (uint32_t i = 0; i <= row; ++i) mass[i] += weights[i] / sum / n;
    }
  }
  return {mass.begin(), mass.end()};
}

struct Setup {
  const char* policy;
  uint32_t n_sink = 4;
  uint32_t n_recent = 0;
  const char* inner = nullptr;
};

// One decision at the end of a prompt, through the plugin's hooks in the order the host calls them.
class Decision {
 public:
  Decision(const Setup& setup, const Shape& shape, const Json& golden, size_t index)
      : shape_(shape), setup_(setup) {
    const uint32_t n_layers = golden["n_layers"];
    layers_.resize(n_layers, {.n_kv_heads = shape.n_kv_heads,
                              .head_dim = shape.head_dim,
                              .rope_dim = shape.head_dim,
                              .rope_kind = TENURE_ROPE_HALVES,
                              .rope_base = golden["rope_base"],
                              .attention_scale = 1 / std::sqrt(shape.head_dim)});
    model_ = {.head = {.struct_size = sizeof model_},
              .n_layers = n_layers,
              .n_embd = shape.n_heads * shape.head_dim,
              .n_heads = shape.n_heads,
              .layer_stride = sizeof(tenure_layer_info),
              .layers = layers_.data()};
    for (uint32_t l = 0; l < n_layers; ++l) tensors_.emplace_back(shape, 1000 * index + 10 * l);
  }

  // (n_layers)(tables of a layer) slots
  std::vector<std::vector<KeptSlots>> run() {
    if (setup_.inner != nullptr) load(setup_.inner);
    load(setup_.policy);
    const bool per_layer = loaded_.back()->policy.manifest().needs.granularity == Granularity::layer;
    n_tables_ = per_layer ? 1 : shape_.n_kv_heads;
    const Protection protection{.n_sink = setup_.n_sink, .n_recent = setup_.n_recent};
    for (uint32_t i = 0; i < model_.n_layers * n_tables_; ++i) {
      tables_.push_back(SlotTable({.score = true, .state_floats = 1}));
      tables_.back().append(0, shape_.n_tokens);
      mark_protected(tables_.back(), protection, shape_.n_tokens, true);
    }
    n_keep_.assign(tables_.size(), UINT32_MAX);
    for (auto& one : loaded_) observe(*one);
    for (auto& one : loaded_) select(*one);
    return choose();
  }

 private:
  struct Loaded {
    Loaded(const char* id, const tenure_model_info& model)
        : library(plugin_at(std::filesystem::path(std::getenv("TENURE_BUILD_DIR")) / "lib/tenure/plugins" /
                            ("libtenure_policy_" + std::string(id) + ".so")),
                  {}),
          policy(library, model, defaults(library.manifest())),
          state(policy.needs().state_bytes_per_sequence / 8 + 8) {}
    static std::vector<ParamValue> defaults(const PluginManifest& manifest) {
      std::vector<ParamValue> values;
      for (const ParamSpec& spec : manifest.params) values.push_back(spec.default_value.value());
      return values;
    }
    Library library;
    Policy policy;
    std::vector<uint64_t> state;
    PolicySequence sequence;
  };

  void load(const char* id) {
    loaded_.push_back(std::make_unique<Loaded>(id, model_));
    Loaded& one = *loaded_.back();
    const tenure_sequence_info info{.head = {.struct_size = sizeof info},
                                    .budget = shape_.budget,
                                    .chunk = shape_.n_tokens,
                                    .n_prompt = shape_.n_tokens,
                                    .state = one.state.data()};
    REQUIRE(one.policy.begin(call_, info, one.sequence).ok());
  }

  // The verbs, without the host's checks: those have tests of their own.
  static tenure_status score(tenure_keepset* keepset, uint32_t layer, const float* const* scores,
                             const uint32_t* n_keep, tenure_error*) {
    Decision& self = *static_cast<Decision*>(keepset->ctx);
    const bool all = layer == TENURE_ALL_LAYERS;
    const size_t first = all ? 0 : size_t{layer} * self.n_tables_;
    for (size_t i = 0; i < (all ? self.tables_.size() : self.n_tables_); ++i) {
      SlotTable& table = self.tables_[first + i];
      const float* from = scores != nullptr ? scores[i] : table.state().data();
      std::copy_n(from, table.size(), table.set_score().data());
      self.n_keep_[first + i] = n_keep != nullptr ? n_keep[i] : UINT32_MAX;
    }
    return TENURE_OK;
  }

  // With what `add` puts into each head's view: f(view, layer, table).
  template <typename Add>
  const tenure_view& view(const Loaded& one, uint32_t layer, Add&& add) {
    heads_.clear();
    const bool all = layer == TENURE_ALL_LAYERS;
    for (uint32_t l = all ? 0 : layer; l < (all ? model_.n_layers : layer + 1); ++l) {
      for (uint32_t t = 0; t < n_tables_; ++t) {
        SlotTable& table = tables_[l * n_tables_ + t];
        heads_.push_back({.pos = table.pos().data(),
                          .score = table.score().data(),
                          .flags = table.flags().data(),
                          .state = table.state().data(),
                          .n_slots = table.size(),
                          .budget = shape_.budget});
        add(heads_.back(), l, t);
      }
    }
    view_ = {.head = {.struct_size = sizeof view_},
             .seq = one.sequence.get(),
             .state = const_cast<uint64_t*>(one.state.data()),
             .n_heads = static_cast<uint32_t>(heads_.size()),
             .head_stride = sizeof(tenure_head_view),
             .heads = heads_.data(),
             .n_tokens = shape_.n_tokens,
             .phase = call_.phase,
             .head_dim = all ? 0 : shape_.head_dim};
    return view_;
  }

  void observe(Loaded& one) {
    for (uint32_t l = 0; l < model_.n_layers; ++l) {
      // Two parts of a chunk: the cut must not show.
      if ((one.policy.needs().evidence & row_evidence) != 0) {
        observe_rows(one, l, 0, 100);
        observe_rows(one, l, 100, shape_.n_tokens - 100);
      }
      if ((one.policy.needs().evidence & (TENURE_EVIDENCE_ATTENTION_MASS | cached_evidence)) != 0)
        observe_cache(one, l);
    }
  }

  void observe_rows(Loaded& one, uint32_t layer, uint32_t first, uint32_t n) {
    const Tensors& t = tensors_[layer];
    const auto rows = [&](const std::vector<float>& all, uint32_t n_heads) {
      const int64_t width = int64_t{n_heads} * shape_.head_dim;
      return tenure_f32_view{.data = const_cast<float*>(all.data()) + first * width,
                             .n_dims = 3,
                             .shape = {n, n_heads, shape_.head_dim},
                             .stride = {width, shape_.head_dim, 1}};
    };
    const tenure_evidence evidence{
        .head = {.struct_size = sizeof evidence},
        .view =
            &view(one, layer, [&](tenure_head_view& head, uint32_t, uint32_t) { head.n_slots = first + n; }),
        .keepset = &keepset_,
        .n_rows = n,
        .first_pos = static_cast<int32_t>(first),
        .q_pre = rows(t.q, shape_.n_heads),
        .q_post = rows(t.q, shape_.n_heads),
        .k_pre = rows(t.k, shape_.n_kv_heads),
        .v = rows(t.v, shape_.n_kv_heads),
        .k_post = rows(t.k, shape_.n_kv_heads)};
    observe(one, layer, evidence);
  }

  void observe_cache(Loaded& one, uint32_t layer) {
    const Tensors& t = tensors_[layer];
    const uint32_t n_rows = std::min(one.policy.needs().mass_rows, shape_.n_tokens);
    std::vector<std::vector<float>> mass, k, v;
    const auto of_head = [&](const std::vector<float>& all, uint32_t head) {
      std::vector<float> result;
      for (uint32_t i = 0; i < shape_.n_tokens; ++i) {
        const auto* row = all.data() + (size_t{i} * shape_.n_kv_heads + head) * shape_.head_dim;
        result.insert(result.end(), row, row + shape_.head_dim);
      }
      return result;
    };
    const uint32_t shared_by = shape_.n_heads / n_tables_;
    for (uint32_t i = 0; i < n_tables_; ++i) {
      mass.push_back(mass_of(shape_, t, n_rows, i * shared_by, shared_by));
      k.push_back(of_head(t.k, i));
      v.push_back(of_head(t.v, i));
    }
    const tenure_evidence evidence{.head = {.struct_size = sizeof evidence},
                                   .view = &view(one, layer,
                                                 [&](tenure_head_view& head, uint32_t, uint32_t i) {
                                                   head.mass = mass[i].data();
                                                   head.k = k[i].data();
                                                   head.v = v[i].data();
                                                 }),
                                   .keepset = &keepset_};
    observe(one, layer, evidence);
  }

  void observe(Loaded& one, uint32_t layer, const tenure_evidence& evidence) {
    const tenure_evidence* const list[] = {&evidence};
    tenure_status status = TENURE_OK;
    REQUIRE(one.policy.observe(call_, layer, list, {&status, 1}).ok());
    REQUIRE(status == TENURE_OK);
  }

  void select(Loaded& one) {
    if (!one.policy.has_select()) return;
    const bool at_once = one.policy.manifest().defaults.budget_scope == BudgetScope::global;
    for (uint32_t l = 0; l < (at_once ? 1 : model_.n_layers); ++l) {
      const uint32_t layer = at_once ? TENURE_ALL_LAYERS : l;
      const tenure_view* const views[] = {&view(one, layer, [](tenure_head_view&, uint32_t, uint32_t) {})};
      tenure_keepset* const keepsets[] = {&keepset_};
      tenure_status status = TENURE_OK;
      REQUIRE(one.policy.select(call_, layer, views, keepsets, {&status, 1}).ok());
      REQUIRE(status == TENURE_OK);
    }
  }

  std::vector<std::vector<KeptSlots>> choose() {
    std::vector<std::vector<KeptSlots>> kept(model_.n_layers, std::vector<KeptSlots>(n_tables_));
    Selection selection;
    for (size_t i = 0; i < tables_.size(); ++i) {
      const uint32_t budget = n_keep_[i] == UINT32_MAX ? shape_.budget : n_keep_[i];
      selection.keep_best(tables_[i], budget, kept[i / n_tables_][i % n_tables_]);
    }
    return kept;
  }

  Shape shape_;
  Setup setup_;
  std::vector<tenure_layer_info> layers_;
  tenure_model_info model_{};
  std::vector<Tensors> tensors_;
  std::vector<std::unique_ptr<Loaded>> loaded_;
  uint32_t n_tables_ = 0;
  std::vector<SlotTable> tables_;
  std::vector<uint32_t> n_keep_;
  std::vector<tenure_head_view> heads_;
  tenure_view view_{};
  tenure_call call_{
      .head = {.struct_size = sizeof(tenure_call)}, .phase = TENURE_PHASE_CHUNK, .last_chunk = 1};
  tenure_keepset keepset_{.head = {.struct_size = sizeof(tenure_keepset)}, .ctx = this, .score = score};
};

}  // namespace

TEST_CASE("kept sets - as the papers' formulas give them") {
  std::ifstream file("tests/data/kept_sets.json");
  const Json golden = Json::parse(file);
  const Setup setups[] = {{.policy = "knorm"},
                          {.policy = "keydiff"},
                          {.policy = "h2o", .n_sink = 0, .n_recent = UINT32_MAX},  // half of the budget
                          {.policy = "tova", .n_sink = 0},
                          {.policy = "snapkv", .n_recent = 32},
                          {.policy = "pyramidkv", .n_recent = 32},
                          {.policy = "adakv", .inner = "snapkv"},
                          {.policy = "lagkv"},
                          {.policy = "expected_attention"},
                          {.policy = "rkv", .n_sink = 0, .n_recent = 8}};
  for (size_t index = 0; index < golden["cases"].size(); ++index) {
    const Json& one = golden["cases"][index];
    const Shape shape{one["n_heads"], one["n_kv_heads"], one["head_dim"], one["n_tokens"], one["budget"]};
    REQUIRE(floats(1000 * index + 1, 1)[0] == one["first_float"].get<float>());
    for (Setup setup : setups) {
      if (setup.n_recent == UINT32_MAX) setup.n_recent = shape.budget / 2;
      const std::vector<std::vector<KeptSlots>> kept = Decision(setup, shape, golden, index).run();
      const auto expected = one["kept"][setup.policy].get<std::vector<std::vector<KeptSlots>>>();
      REQUIRE(kept.size() == expected.size());
      for (size_t layer = 0; layer < kept.size(); ++layer) {
        CAPTURE(setup.policy);
        CAPTURE(index);
        CAPTURE(layer);
        CHECK(kept[layer] == expected[layer]);
      }
    }
  }
}

}  // namespace tenure
