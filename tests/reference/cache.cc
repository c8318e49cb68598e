#include "reference/cache.h"

#include "reference/elements.h"
#include "reference/rope.h"

namespace tenure::reference {

void HeadCache::append(int32_t pos, std::span<const float> key, std::span<const float> value) {
  Slot slot{.pos = pos};
  for (float x : key) slot.key.push_back(kept(k_type, x));
  for (float x : value) slot.value.push_back(kept(v_type, x));
  slots.push_back(slot);
}

void HeadCache::move(std::span<const tenure_kv_move> moves) {
  for (const tenure_kv_move& move : moves) slots[move.dst] = slots[move.src];
}

void HeadCache::rotate(const tenure_layer_info& layer, std::span<const int32_t> delta) {
  for (size_t i = 0; i < delta.size(); ++i) {
    if (delta[i] == 0) continue;
    reference::rotate(layer, delta[i], slots[i].key);
    for (double& x : slots[i].key) x = kept(k_type, x);
  }
}

}  // namespace tenure::reference
