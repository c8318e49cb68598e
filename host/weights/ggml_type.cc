#include "weights/ggml_type.h"

#include <fmt/format.h>

namespace tenure {
namespace {

constexpr GgmlType table[] = {
    {0, "F32", 1, 4, Dtype::f32},
    {1, "F16", 1, 2, Dtype::f16},
    {2, "Q4_0", 32, 18, Dtype::q4_0},
    {3, "Q4_1", 32, 20, Dtype::q4_1},
    {6, "Q5_0", 32, 22, Dtype::q5_0},
    {7, "Q5_1", 32, 24, Dtype::q5_1},
    {8, "Q8_0", 32, 34, Dtype::q8_0},
    {9, "Q8_1", 32, 36, {}},
    {10, "Q2_K", 256, 84, {}},
    {11, "Q3_K", 256, 110, {}},
    {12, "Q4_K", 256, 144, Dtype::q4_k},
    {13, "Q5_K", 256, 176, Dtype::q5_k},
    {14, "Q6_K", 256, 210, Dtype::q6_k},
    {15, "Q8_K", 256, 292, {}},
    {16, "IQ2_XXS", 256, 66, {}},
    {17, "IQ2_XS", 256, 74, {}},
    {18, "IQ3_XXS", 256, 98, {}},
    {19, "IQ1_S", 256, 50, {}},
    {20, "IQ4_NL", 32, 18, {}},
    {21, "IQ3_S", 256, 110, {}},
    {22, "IQ2_S", 256, 82, {}},
    {23, "IQ4_XS", 256, 136, {}},
    {24, "I8", 1, 1, {}},
    {25, "I16", 1, 2, {}},
    {26, "I32", 1, 4, {}},
    {27, "I64", 1, 8, {}},
    {28, "F64", 1, 8, {}},
    {29, "IQ1_M", 256, 56, {}},
    {30, "BF16", 1, 2, Dtype::bf16},
    {34, "TQ1_0", 256, 54, {}},
    {35, "TQ2_0", 256, 66, {}},
    {39, "MXFP4", 32, 17, {}},
};

}  // namespace

const GgmlType* find_ggml_type(uint32_t number) {
  for (const GgmlType& type : table) {
    if (type.number == number) return &type;
  }
  return nullptr;
}

std::string ggml_type_name(uint32_t number) {
  const GgmlType* type = find_ggml_type(number);
  return type ? std::string(type->name) : fmt::format("type {}", number);
}

std::string runnable_ggml_types() {
  std::string names;
  for (const GgmlType& type : table) {
    if (type.dtype) names += (names.empty() ? "" : ", ") + std::string(type.name);
  }
  return names;
}

}  // namespace tenure
