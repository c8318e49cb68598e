// The requests of one read stage, in order, one at a time: files and globs, line by line in constant memory, or text files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "graph/text_pieces.h"
#include "plan/plan.h"
#include "record/line_reader.h"
#include "record/request.h"
#include "record/row_index.h"

namespace tenure {

// Every literal path and what the globs match, sorted inside each glob. "-" becomes `standard_input`. Throws
// Error(input_missing | input_unreadable).
std::vector<std::string> expand_paths(const std::vector<std::string>& patterns, const std::string& standard_input);

class RequestSource {
 public:
  // `files` from expand_paths. Throws Error(input_*) when the first cannot be opened.
  RequestSource(const StagePlan& stage, std::vector<std::string> files);

  // The next request, or the error its line became; an id seen before is an error. nullopt at the end.
  std::optional<ParsedRequest> next();

  uint64_t bytes_read() const { return bytes_before_ + (reader_ ? reader_->offset() : 0) + (pieces_ ? pieces_->offset() : 0); }
  uint64_t bytes_total() const { return bytes_total_; }

 private:
  std::optional<ParsedRequest> next_line();
  std::optional<ParsedRequest> next_text();
  ParsedRequest check_id(ParsedRequest request);
  std::string unused_id(const std::string& id, uint64_t line);
  RequestError read_error(uint64_t line, std::string message) const;

  bool is_text_;
  LineMapping mapping_;
  uint64_t limit_;
  uint64_t n_given_ = 0;
  std::vector<std::string> files_;
  size_t next_file_ = 0;
  std::optional<LineReader> reader_;
  uint64_t split_;                    // bytes of a text file's pieces; 0 = it is one request
  std::optional<TextPieces> pieces_;  // of the last file opened
  uint64_t n_pieces_ = 0;             // of it, given out
  uint64_t bytes_before_ = 0;
  uint64_t bytes_total_ = 0;
  std::unordered_map<Hash128, uint64_t, Hash128::Folded> seen_;  // id → line
};

}  // namespace tenure
