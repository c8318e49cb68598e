#include "record/row_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "error/error.h"

namespace tenure {

RowWriter::RowWriter(std::string path, SyncPolicy sync)
    : path_(std::move(path)),
      sync_(sync),
      file_(open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)),
      last_sync_(Clock::now()) {
  struct stat status {};
  if (!file_ || fstat(file_.get(), &status) != 0) {
    throw Error(Code::cannot_create,
                fmt::format("cannot open {} for appending: {}", path_, std::strerror(errno)));
  }
  n_bytes_ = static_cast<uint64_t>(status.st_size);
}

void RowWriter::write(const ResultRow& row) {
  std::string line = to_json_line(row);
  line += '\n';
  const std::lock_guard lock(mutex_);
  append(line);
}

void RowWriter::write_line(std::string_view json) {
  std::string line(json);
  line += '\n';
  const std::lock_guard lock(mutex_);
  append(line);
}

void RowWriter::append(std::string_view bytes) {
  if (failed_) throw Error(Code::write_failed, fmt::format("{}: an earlier write failed", path_));
  ssize_t n = 0;
  do {
    n = ::write(file_.get(), bytes.data(), bytes.size());
  } while (n < 0 && errno == EINTR);
  if (n != static_cast<ssize_t>(bytes.size())) {
    const int error = n < 0 ? errno : ENOSPC;
    fail(fmt::format("wrote {} of {} bytes", n < 0 ? 0 : n, bytes.size()), error);
  }
  n_bytes_ += bytes.size();
  ++n_rows_;
  unsynced_ = true;
  const bool due = sync_.when == SyncPolicy::When::interval && Clock::now() - last_sync_ >= sync_.interval;
  if (due || sync_.when == SyncPolicy::When::record) sync_locked();
}

void RowWriter::fail(std::string_view what, int error) {
  failed_ = true;
  // Also when nothing was written: it costs nothing, and a file system may have grown the file before it
  // failed.
  const bool cut = ftruncate(file_.get(), static_cast<off_t>(n_bytes_)) == 0;
  throw Error({.code = Code::write_failed,
               .text = fmt::format("{}: {}: {}", path_, what, std::strerror(error)),
               .help = cut ? "the file ends with its last whole row; make room and run the same command again"
                           : "the torn last row will be cut when the run is resumed"});
}

void RowWriter::sync_locked() {
  if (!unsynced_) return;
  // After a failed sync the kernel may call the lost pages clean: a second try would report success for rows
  // that are gone, so the run stops here.
  if (fdatasync(file_.get()) != 0) {
    failed_ = true;
    throw Error(Code::write_failed, fmt::format("{}: cannot sync: {}", path_, std::strerror(errno)));
  }
  unsynced_ = false;
  last_sync_ = Clock::now();
}

void RowWriter::sync() {
  const std::lock_guard lock(mutex_);
  sync_locked();
}

void RowWriter::sync_if_due() {
  const std::lock_guard lock(mutex_);
  if (!failed_ && sync_.when == SyncPolicy::When::interval && Clock::now() - last_sync_ >= sync_.interval)
    sync_locked();
}

uint64_t RowWriter::n_rows() const {
  const std::lock_guard lock(mutex_);
  return n_rows_;
}

uint64_t RowWriter::n_bytes() const {
  const std::lock_guard lock(mutex_);
  return n_bytes_;
}

}  // namespace tenure
