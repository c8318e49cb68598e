// Rotary positions: a head turned by a number of positions, in double.
#pragma once

#include <tenure/model.h>

#include <span>

namespace tenure::reference {

// Only the layer's rope members are read. x (head_dim) in place; elements beyond rope_dim pass.
void rotate(const tenure_layer_info& layer, double positions, std::span<double> x);

}  // namespace tenure::reference
