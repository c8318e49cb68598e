// The append-only journal of rows: one buffer and one write(2) a row, so a kill at any moment leaves whole
// rows and at most one torn tail, which the next open cuts. Safe to call from several threads.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "record/file_io.h"
#include "record/row.h"

namespace tenure {

// When rows reach the disk. A row that write() returned for survives the death of the process in any case;
// these are about the death of the machine.
struct SyncPolicy {
  enum class When : uint8_t { record, interval, none };
  When when = When::interval;
  std::chrono::milliseconds interval{1000};
};

class RowWriter {
 public:
  // Appends to `path`, made when absent. Throws Error(cannot_create).
  RowWriter(std::string path, SyncPolicy sync);

  // Appends one row and its newline. Throws Error(write_failed) after a short write, a full disk or an I/O
  // error; the file is then cut back to its last whole row, and every later write throws too.
  void write(const ResultRow& row);
  void write_line(std::string_view json);

  // Syncs when the interval has passed since an unsynced row; for a caller with a clock (the progress tick),
  // so that the last rows before a pause are covered.
  void sync_if_due();
  // Syncs now, whatever the policy says. Throws Error(write_failed).
  void sync();

  uint64_t n_rows() const;   // written by this object
  uint64_t n_bytes() const;  // of the file

 private:
  using Clock = std::chrono::steady_clock;

  void append(std::string_view bytes);
  void sync_locked();
  [[noreturn]] void fail(std::string_view what, int error);

  mutable std::mutex mutex_;
  std::string path_;
  SyncPolicy sync_;
  FileDescriptor file_;
  uint64_t n_bytes_ = 0;
  uint64_t n_rows_ = 0;
  bool unsynced_ = false;
  bool failed_ = false;
  Clock::time_point last_sync_;
};

}  // namespace tenure
