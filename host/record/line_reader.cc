#include "record/line_reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "error/error.h"

namespace tenure {
namespace {

constexpr size_t read_size = size_t{256} << 10;
constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";

int open_input(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    const Code code = errno == ENOENT || errno == ENOTDIR ? Code::input_missing : Code::input_unreadable;
    throw Error(code, fmt::format("{}: {}", path, std::strerror(errno)));
  }
  struct stat status {};
  if (fstat(fd, &status) == 0 && S_ISDIR(status.st_mode)) {
    close(fd);
    throw Error(Code::input_missing, fmt::format("{} is a directory, not a file", path));
  }
  return fd;
}

}  // namespace

LineReader::LineReader(const std::string& path, size_t line_cap)
    : LineReader(open_input(path), path, line_cap) {
  owns_fd_ = true;
}

LineReader::LineReader(int fd, std::string name, size_t line_cap)
    : fd_(fd), name_(std::move(name)), line_cap_(line_cap) {}

LineReader::LineReader(LineReader&& other) noexcept
    : fd_(other.fd_),
      owns_fd_(std::exchange(other.owns_fd_, false)),
      name_(std::move(other.name_)),
      line_cap_(other.line_cap_),
      buffer_(std::move(other.buffer_)),
      begin_(other.begin_),
      offset_(other.offset_),
      number_(other.number_),
      at_end_(other.at_end_) {}

LineReader::~LineReader() {
  if (owns_fd_) close(fd_);
}

bool LineReader::fill() {
  if (at_end_) return false;
  buffer_.erase(0, begin_);
  begin_ = 0;
  const size_t held = buffer_.size();
  buffer_.resize(held + read_size);
  ssize_t n = 0;
  do {
    n = read(fd_, buffer_.data() + held, read_size);
  } while (n < 0 && errno == EINTR);
  buffer_.resize(held + static_cast<size_t>(n < 0 ? 0 : n));
  if (n < 0) throw Error(Code::input_unreadable, fmt::format("{}: {}", name_, std::strerror(errno)));
  if (n == 0) at_end_ = true;
  return n > 0;
}

std::optional<LineReader::Line> LineReader::next_raw() {
  Line line{.number = number_ + 1, .offset = offset_};
  size_t searched = 0;  // bytes of the unread part known to hold no newline
  for (;;) {
    const size_t end = buffer_.find('\n', begin_ + searched);
    if (end != std::string::npos) {
      line.text = std::string_view(buffer_).substr(begin_, end - begin_);
      offset_ += line.text.size() + 1;
      begin_ = end + 1;
      break;
    }
    searched = buffer_.size() - begin_;
    if (searched > line_cap_) {  // drop what is held; the rest goes by unread
      line.too_long = true;
      offset_ += searched;
      begin_ = buffer_.size();
      searched = 0;
    }
    if (fill()) continue;
    if (searched == 0 && !line.too_long) return std::nullopt;
    line.terminated = false;
    line.text = std::string_view(buffer_).substr(begin_);
    offset_ += line.text.size();
    begin_ = buffer_.size();
    break;
  }
  ++number_;
  if (line.text.size() > line_cap_) line.too_long = true;
  if (line.too_long) line.text = {};
  return line;
}

std::optional<LineReader::Line> LineReader::next() {
  while (std::optional<Line> line = next_raw()) {
    if (line->number == 1 && line->text.starts_with(byte_order_mark))
      line->text.remove_prefix(byte_order_mark.size());
    if (line->text.ends_with('\r')) line->text.remove_suffix(1);
    if (line->too_long || line->text.find_first_not_of(" \t\r") != std::string_view::npos) return line;
  }
  return std::nullopt;
}

}  // namespace tenure
