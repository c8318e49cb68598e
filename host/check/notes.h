// What a checking process leaves for the one that started it, in memory of both: the hook it is in, so that a
// crash has a place, and its verdict.
#pragma once

#include <optional>
#include <string>

#include "check/verdict.h"

namespace tenure {

class Notes {
 public:
  // Fresh and empty; throws Error. Inherited by children.
  Notes();
  // The parent's, by the descriptor it said.
  explicit Notes(int descriptor) : descriptor_(descriptor), is_owner_(false) {}
  Notes(const Notes&) = delete;
  Notes& operator=(const Notes&) = delete;
  ~Notes();

  int descriptor() const { return descriptor_; }

  // name: nullptr when no hook is running.
  void write_hook(const char* name) const;
  void write_verdict(const Verdict& verdict) const;

  std::string hook() const;  // empty = none
  std::optional<Verdict> verdict() const;

 private:
  int descriptor_;
  bool is_owner_ = true;
};

}  // namespace tenure
