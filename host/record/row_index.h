// Which rows a results file holds, by (id, cell, stage, sample); the last attempt counts. 64 bytes a row, so
// a million rows fit anywhere. Keys are 128-bit hashes: a false match among 10^9 rows has a chance below
// 10^-19.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "record/line_reader.h"
#include "record/row.h"

namespace tenure {

// 128 bits as two 64-bit words, from any bytes; stable for ever. Used where a set of ids must stay small.
struct Hash128 {
  uint64_t low = 0, high = 0;
  bool operator==(const Hash128&) const = default;
  struct Folded {
    size_t operator()(const Hash128& hash) const { return static_cast<size_t>(hash.low); }
  };
};
Hash128 hash_of(std::string_view bytes);

// The longest line that is taken for a row: one may carry a long request's tokens besides its text.
constexpr size_t row_line_cap = 4 * default_line_cap;

struct RowMark {
  RowStatus status = RowStatus::ok;
  int64_t attempt = 1;
  uint64_t offset = 0;  // of the line in the file
};

class RowIndex {
 public:
  struct Scan {
    uint64_t n_lines = 0;       // rows of all attempts
    uint64_t n_unreadable = 0;  // whole lines that are no rows; they count for nothing
    uint64_t end = 0;           // bytes up to the torn tail, if there is one
  };

  // Reads a results file; an absent one is empty. Throws Error(input_unreadable).
  static RowIndex read(const std::string& results_path);

  void add(const ResultRow& row, uint64_t offset);
  const RowMark* find(std::string_view id, std::string_view cell, std::string_view stage,
                      int64_t sample) const;
  // Is there nothing left to do? With `retry_errors` an error row is to be done again.
  bool is_done(std::string_view id, std::string_view cell, std::string_view stage, int64_t sample,
               bool retry_errors = false) const;
  // The attempt that a row written now would be.
  int64_t next_attempt(std::string_view id, std::string_view cell, std::string_view stage,
                       int64_t sample) const;

  size_t size() const { return marks_.size(); }
  const Scan& scan() const { return scan_; }

 private:
  std::unordered_map<Hash128, RowMark, Hash128::Folded> marks_;
  Scan scan_;
};

// Visits the last attempt of every row, in file order, with the line it came from. Two passes over the file;
// returns what the first one found.
RowIndex::Scan for_each_current_row(
    const std::string& results_path,
    const std::function<void(const ResultRow& row, std::string_view line)>& visit);

}  // namespace tenure
