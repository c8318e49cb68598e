// What a compare stage says of two rows: one row's figures against those of its reference. A pure function, any thread.
#pragma once

#include <string>
#include <vector>

#include "record/row.h"

namespace tenure {

// One value a metric, in their order. `exact_match`, `agree_tokens`, `token_f1` and `rouge_l` compare what was generated: the
// mean over the segments that both rows generated. `kl` and `top1` are the row's own, from its fidelity. Any other name is a row path and gives the ratio to the reference. A
// metric that the rows do not allow (nothing generated, an absent number, a reference of 0) is left out.
NamedValues compare_rows(const ResultRow& reference, const ResultRow& row, const std::vector<std::string>& metrics);

}  // namespace tenure
