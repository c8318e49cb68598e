#include "plugin/config_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>
#include <utility>

#include "error/error.h"

namespace tenure {
namespace {

tenure_value scalar(bool x) {
  return {.type = TENURE_VALUE_BOOL, .i = x};
}
tenure_value scalar(int64_t x) {
  return {.type = TENURE_VALUE_INT, .i = x};
}
tenure_value scalar(double x) {
  return {.type = TENURE_VALUE_FLOAT, .f = x};
}
tenure_value scalar(const std::string& x) {
  return {.type = TENURE_VALUE_STRING, .s = {x.data(), x.size()}};
}

void check_complete(const std::vector<ParamSpec>& schema, const std::vector<ParamValue>& params) {
  const auto fits = [](const ParamSpec& spec, const ParamValue& value) {
    return spec.name == value.name && spec.type == value.type;
  };
  if (std::equal(schema.begin(), schema.end(), params.begin(), params.end(), fits)) return;
  throw Error(Code::internal, fmt::format("a plugin with {} parameters was given {} values, or others",
                                          schema.size(), params.size()));
}

}  // namespace

ConfigValues::ConfigValues(const std::vector<ParamSpec>& schema, std::vector<ParamValue> params)
    : params_(std::move(params)), lists_(params_.size()), config_{} {
  check_complete(schema, params_);
  values_.reserve(params_.size());
  for (size_t p = 0; p < params_.size(); ++p) {
    tenure_value value = std::visit(
        [&](const auto& x) {
          if constexpr (std::is_same_v<std::decay_t<decltype(x)>, std::vector<ParamScalar>>) {
            for (const ParamScalar& element : x) {
              lists_[p].push_back(std::visit([](const auto& y) { return scalar(y); }, element));
            }
            return tenure_value{.type = TENURE_VALUE_LIST,
                                .n_list = static_cast<uint32_t>(lists_[p].size()),
                                .list = lists_[p].data()};
          } else {
            return scalar(x);
          }
        },
        params_[p].value);
    if (params_[p].type == ParamType::size) value.type = TENURE_VALUE_SIZE;
    if (params_[p].type == ParamType::duration) value.type = TENURE_VALUE_DURATION;
    values_.push_back(value);
  }
  config_ = {.head = {.struct_size = sizeof config_},
             .n = static_cast<uint32_t>(values_.size()),
             .stride = sizeof(tenure_value),
             .values = values_.data()};
}

}  // namespace tenure
