// Every value that is a choice has an enum and one table of its names; parsing, suggestions and output share
// the table.
#pragma once

#include <string_view>

namespace tenure {

template <typename E>
struct Choice {
  std::string_view name;
  E value;
};

// Specialised beside each enum: `template <> inline constexpr Choice<E> choices<E>[] = {...};`
template <typename E>
inline constexpr Choice<E> choices[] = {};

template <typename E>
std::string_view name_of(E value) {
  for (const Choice<E>& choice : choices<E>) {
    if (choice.value == value) return choice.name;
  }
  return "?";
}

}  // namespace tenure
