// Element types as GGUF numbers them: what a file may hold, of which Dtype is what we run.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tensor/dtype.h"

namespace tenure {

struct GgmlType {
  uint32_t number;
  std::string_view name;
  uint32_t block_elements;
  uint32_t block_bytes;
  std::optional<Dtype> dtype;  // empty: known, not run
};

// nullptr for a number that we do not know (withdrawn or newer than this list).
const GgmlType* find_ggml_type(uint32_t number);
// "Q6_K", or "type 99".
std::string ggml_type_name(uint32_t number);
// "F32, F16, …": the types that have a Dtype.
std::string runnable_ggml_types();

}  // namespace tenure
