// Hand-made views and a KeepSet that writes down what it is told: policies without a model or a cache.
#pragma once

#include <tenure/policy.h>

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "manifest/params.h"
#include "plugin/find.h"

namespace tenure::test {

struct FakeHead {
  std::vector<int32_t> pos;
  std::vector<float> mass, state, score;
  std::vector<uint8_t> flags;
  uint32_t budget = UINT32_MAX;
};

// One sequence's slots in one layer (or in all layers). Every head has one state float a slot.
class FakeView {
 public:
  // heads × positions 0..n_slots-1, mass 0
  FakeView(uint32_t n_heads, uint32_t n_slots);
  FakeHead& head(uint32_t h) { return heads_[h]; }
  std::vector<uint8_t>& state() { return state_; }
  std::vector<uint8_t>& released() { return released_; }
  // Points into this object; made anew by every call.
  const tenure_view* view();
  tenure_evidence evidence(tenure_keepset& keepset);

 private:
  std::deque<FakeHead> heads_;
  std::vector<tenure_head_view> head_views_;
  std::vector<uint8_t> state_, released_;
  std::vector<int32_t> ids_;
  tenure_view view_{};
};

struct FakeKeepSet {
  FakeKeepSet(FakeView& of);
  tenure_keepset face;
  FakeView* view;
  uint32_t layer = 0;
  std::vector<std::vector<float>> scores;              // (n_heads, n_slots) of the last score()
  std::vector<uint32_t> offsets, slots;                // of the last keep()
  std::vector<std::pair<int32_t, uint32_t>> rebuilds;  // every rebuild()
};

// Layers of 2 and 3 KV heads, so that nothing can be assumed equal, behind one of 4 with a window, which
// policies never see.
class FakeModel {
 public:
  FakeModel();
  const tenure_model_info& info() const { return info_; }

 private:
  std::vector<tenure_layer_info> layers_;
  tenure_model_info info_{};
};

// The manifest's defaults, `fault` and the like replaced.
std::vector<ParamValue> defaults_of(const PluginFile&);
std::vector<ParamValue> with(std::vector<ParamValue>, std::string_view name,
                             decltype(ParamValue::value) value);

tenure_call call_in(uint32_t phase);

}  // namespace tenure::test
