// [matrix]: axes, their cross product, exclude and include.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "plan/address.h"

namespace tenure {

constexpr uint64_t max_cells = 10'000;

// One value that a cell puts into the tree.
struct CellEdit {
  Address address;
  Place key_place;
  TomlValue value;
};

struct MatrixCell {
  std::map<std::string, CellEdit> edits;  // by the address's canonical text

  std::string name() const;  // "policy.locret.budget=1/8", several joined by "," in key order
};

// The cells in the order they run: the first axis of the file changes slowest, includes come last. One cell
// without edits when there is no [matrix]; none after a finding. `overrides` fix an axis of the same key to
// their one value.
std::vector<MatrixCell> expand_matrix(const TomlValue& root, const std::vector<Override>& overrides,
                                      Findings&);

}  // namespace tenure
