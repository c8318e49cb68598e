// Names and their values, in nested scopes: a loop's iteration and a captured block have their own.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizer/jinja_value.h"

namespace tenure::jinja {

class Variables {
 public:
  explicit Variables(const Fields& globals) : scopes_{globals} {}

  void open_scope() { scopes_.emplace_back(); }
  void close_scope() { scopes_.pop_back(); }
  void clear_scope() { scopes_.back().clear(); }

  // In the innermost scope.
  void assign(const std::string& name, Value value) {
    for (auto& [known, old] : scopes_.back()) {
      if (known == name) {
        old = std::move(value);
        return;
      }
    }
    scopes_.back().emplace_back(name, std::move(value));
  }

  // The innermost of that name, or nullptr.
  const Value* find(std::string_view name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      for (const auto& [known, value] : *scope) {
        if (known == name) return &value;
      }
    }
    return nullptr;
  }

 private:
  std::vector<Fields> scopes_;  // a handful of names each: a search beats a hash
};

}  // namespace tenure::jinja
