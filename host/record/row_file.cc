#include "record/row_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "error/error.h"
#include "record/file_io.h"
#include "record/line_reader.h"
#include "record/row_index.h"

namespace tenure {

std::optional<ResultRow> RowFile::at(uint64_t offset) const {
  std::optional<ResultRow> found;
  visit(offset, offset + 1, [&](const ResultRow& row, uint64_t) {
    found = row;
    return false;
  });
  return found;
}

void RowFile::visit(uint64_t begin, uint64_t end, const std::function<bool(const ResultRow&, uint64_t)>& visit) const {
  const FileDescriptor file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file || ::lseek(file.get(), static_cast<off_t>(begin), SEEK_SET) < 0) {
    throw Error(Code::input_unreadable, fmt::format("{}: {}", path_, std::strerror(errno)));
  }
  LineReader lines(file.get(), path_, row_line_cap);
  while (const auto line = lines.next()) {
    if (begin + line->offset >= end) return;
    const std::optional<ResultRow> row = line->terminated ? parse_row(line->text) : std::nullopt;
    if (row && !visit(*row, begin + line->offset)) return;
  }
}

}  // namespace tenure
