// Lines of a file of any size in bounded memory. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tenure {

constexpr size_t default_line_cap = size_t{64} << 20;

class LineReader {
 public:
  struct Line {
    std::string_view text;   // without its line end; valid until the next call; empty when too_long
    uint64_t number = 0;     // from 1, blank lines counted
    uint64_t offset = 0;     // of the line's first byte in the file
    bool too_long = false;   // longer than the cap: skipped up to its newline
    bool terminated = true;  // false for a last line without a newline
  };

  // Throws Error(input_missing | input_unreadable).
  explicit LineReader(const std::string& path, size_t line_cap = default_line_cap);
  // Reads an open descriptor, which stays the caller's; `name` is for messages.
  LineReader(int fd, std::string name, size_t line_cap = default_line_cap);
  ~LineReader();
  LineReader(LineReader&& other) noexcept;
  LineReader& operator=(LineReader&&) = delete;

  // The next line that is not blank; nullopt at the end. "\r\n" ends a line too; a byte order mark at the
  // start of the file is skipped. Throws Error(input_unreadable) when reading fails.
  std::optional<Line> next();

  const std::string& name() const { return name_; }
  uint64_t offset() const { return offset_; }  // bytes of the file that next() has gone past

 private:
  std::optional<Line> next_raw();
  bool fill();

  int fd_ = -1;
  bool owns_fd_ = false;
  std::string name_;
  size_t line_cap_ = 0;
  std::string buffer_;
  size_t begin_ = 0;     // of the unread part of buffer_
  uint64_t offset_ = 0;  // of buffer_[begin_] in the file
  uint64_t number_ = 0;
  bool at_end_ = false;
};

}  // namespace tenure
