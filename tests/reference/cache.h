// One KV head's cache without pages: slots with a position, a rotated key and a value, as a type keeps them.
#pragma once

#include <tenure/backend.h>

#include <cstdint>
#include <span>
#include <vector>

namespace tenure::reference {

struct Slot {
  int32_t pos = 0;
  std::vector<double> key;
  std::vector<double> value;
};

struct HeadCache {
  uint32_t k_type = TENURE_F32;
  uint32_t v_type = TENURE_F32;
  std::vector<Slot> slots;

  void append(int32_t pos, std::span<const float> key, std::span<const float> value);
  void move(std::span<const tenure_kv_move> moves);
  // slot i's key turns by delta[i] positions
  void rotate(const tenure_layer_info& layer, std::span<const int32_t> delta);
};

}  // namespace tenure::reference
