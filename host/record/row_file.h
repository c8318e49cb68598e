// Rows of a results file by their place in it, while others may append. Any thread. Reading throws
// Error(input_unreadable).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "record/row.h"

namespace tenure {

class RowFile {
 public:
  explicit RowFile(std::string path) : path_(std::move(path)) {}

  // The row whose line begins at `offset`; nullopt when there is none.
  std::optional<ResultRow> at(uint64_t offset) const;
  // Every row whose line begins in [begin, end), in order, until `visit` returns false.
  void visit(uint64_t begin, uint64_t end, const std::function<bool(const ResultRow& row, uint64_t offset)>& visit) const;

 private:
  std::string path_;
};

}  // namespace tenure
