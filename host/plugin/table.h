// A plugin's function table in the host's full size, whatever size the plugin knows.
#pragma once

#include <fmt/format.h>
#include <tenure/abi.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "error/error.h"

namespace tenure {

// The first min(size) bytes of *source, zeros after them. Throws plugin_abi when the head says 0 or less than
// a head.
template <typename T>
T copy_known(const T* source, std::string_view plugin, std::string_view what) {
  static_assert(offsetof(T, head) == 0);
  tenure_head head;
  std::memcpy(&head, source, sizeof head);
  if (head.struct_size < sizeof head) {
    throw Error(Code::plugin_abi, fmt::format("plugin \"{}\": {} has no valid head: struct_size is {}",
                                              plugin, what, head.struct_size));
  }
  T copy{};
  std::memcpy(&copy, source, std::min<size_t>(head.struct_size, sizeof copy));
  copy.head.struct_size = sizeof copy;
  return copy;
}

template <typename Function>
void require_slot(Function* slot, std::string_view plugin, std::string_view name) {
  if (slot != nullptr) return;
  throw Error(Code::plugin_abi,
              fmt::format("plugin \"{}\": the required function {} is missing", plugin, name));
}

// An absent optional slot answers TENURE_UNIMPLEMENTED, so that no caller meets NULL. True: the plugin has
// it.
template <typename... Args>
bool fill_slot(tenure_status (*&slot)(Args...)) {
  if (slot != nullptr) return true;
  slot = [](Args...) -> tenure_status { return TENURE_UNIMPLEMENTED; };
  return false;
}

template <typename... Args>
void fill_slot(void (*&slot)(Args...)) {
  if (slot == nullptr) slot = [](Args...) {};
}

}  // namespace tenure
