#include "unit/plugin/fake_view.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

namespace tenure::test {

FakeView::FakeView(uint32_t n_heads, uint32_t n_slots) : state_(64, 0), ids_(n_slots) {
  for (uint32_t h = 0; h < n_heads; ++h) {
    FakeHead head;
    head.pos.resize(n_slots);
    std::iota(head.pos.begin(), head.pos.end(), 0);
    head.mass.assign(n_slots, 0.0f);
    heads_.push_back(std::move(head));
  }
  std::iota(ids_.begin(), ids_.end(), 100);
}

const tenure_view* FakeView::view() {
  head_views_.clear();
  for (FakeHead& head : heads_) {
    const size_t n = head.pos.size();
    head.state.resize(n);
    head.score.resize(n);
    head.flags.resize(n);
    head_views_.push_back({.pos = head.pos.data(),
                           .score = head.score.data(),
                           .flags = head.flags.data(),
                           .mass = head.mass.data(),
                           .state = head.state.data(),
                           .n_slots = static_cast<uint32_t>(n),
                           .budget = head.budget});
  }
  view_ = {.head = {.struct_size = sizeof view_, .rev = 0, .flags = 0},
           .seq = nullptr,
           .state = state_.data(),
           .n_heads = static_cast<uint32_t>(heads_.size()),
           .head_stride = sizeof(tenure_head_view),
           .heads = head_views_.data(),
           .n_tokens = static_cast<uint32_t>(ids_.size()),
           .phase = TENURE_PHASE_CHUNK,
           .ids = ids_.data(),
           .released = released_.empty() ? nullptr : released_.data(),
           .token_state = nullptr};
  return &view_;
}

tenure_evidence FakeView::evidence(tenure_keepset& keepset) {
  tenure_evidence evidence{};
  evidence.head.struct_size = sizeof evidence;
  evidence.view = view();
  evidence.keepset = &keepset;
  return evidence;
}

FakeKeepSet::FakeKeepSet(FakeView& of) : view(&of) {
  face.head = {.struct_size = sizeof face, .rev = 0, .flags = 0};
  face.ctx = this;
  face.score = [](tenure_keepset* self, uint32_t at, const float* const* given, const uint32_t*,
                  tenure_error*) {
    auto& keepset = *static_cast<FakeKeepSet*>(self->ctx);
    keepset.layer = at;
    keepset.scores.clear();
    const tenure_view* seen = keepset.view->view();
    for (uint32_t h = 0; h < seen->n_heads; ++h) {
      const float* of_head =
          given != nullptr ? given[h] : seen->heads[h].state;  // NULL: the state is the score
      keepset.scores.emplace_back(of_head, of_head + seen->heads[h].n_slots);
    }
    return tenure_status{TENURE_OK};
  };
  face.keep = [](tenure_keepset* self, uint32_t at, const uint32_t* at_offsets, const uint32_t* at_slots,
                 tenure_error*) {
    auto& keepset = *static_cast<FakeKeepSet*>(self->ctx);
    keepset.layer = at;
    const uint32_t n_heads = keepset.view->view()->n_heads;
    keepset.offsets.assign(at_offsets, at_offsets + n_heads + 1);
    keepset.slots.assign(at_slots, at_slots + *std::max_element(at_offsets, at_offsets + n_heads + 1));
    return tenure_status{TENURE_OK};
  };
  face.rebuild = [](tenure_keepset* self, int32_t first_pos, uint32_t n, tenure_error*) {
    static_cast<FakeKeepSet*>(self->ctx)->rebuilds.emplace_back(first_pos, n);
    return tenure_status{TENURE_OK};
  };
}

FakeModel::FakeModel() {
  const auto layer = [](uint32_t n_kv_heads, uint32_t window) {
    return tenure_layer_info{.n_kv_heads = n_kv_heads,
                             .head_dim = 8,
                             .rope_dim = 8,
                             .rope_kind = TENURE_ROPE_HALVES,
                             .window = window,
                             .reserved0 = 0,
                             .rope_base = 10000.0,
                             .rope_factors = nullptr,
                             .attention_scale = 0.35};
  };
  layers_ = {layer(4, 64), layer(2, 0), layer(3, 0)};
  info_.head.struct_size = sizeof info_;
  info_.n_layers = 3;
  info_.n_heads = 12;
  info_.layer_stride = sizeof(tenure_layer_info);
  info_.layers = layers_.data();
}

std::vector<ParamValue> defaults_of(const PluginFile& file) {
  std::vector<ParamValue> values;
  for (const ParamSpec& param : file.manifest.params) {
    REQUIRE(param.default_value.has_value());
    values.push_back(*param.default_value);
  }
  return values;
}

std::vector<ParamValue> with(std::vector<ParamValue> params, std::string_view name,
                             decltype(ParamValue::value) value) {
  for (ParamValue& param : params) {
    if (param.name == name) {
      param.value = std::move(value);
      return params;
    }
  }
  FAIL("no parameter ", std::string(name));
  return params;
}

tenure_call call_in(uint32_t phase) {
  tenure_call call{};
  call.head.struct_size = sizeof call;
  call.phase = phase;
  return call;
}

}  // namespace tenure::test
