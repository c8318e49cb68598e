// RUN: the directory of one run. One writer at a time; the manifest comes first and DONE last, and everything
// between can be read while the run goes on and resumed after a kill.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "record/file_io.h"
#include "record/row_index.h"
#include "record/row_writer.h"

namespace tenure {

enum class RunState : uint8_t { absent, unfinished, done };

// Looks without locking: absent = no manifest.
RunState run_state(const std::string& path);

struct ManifestDifference {
  std::string key;          // dotted path into the manifest
  std::string before, now;  // JSON text; empty = absent
};
// What differs between two manifests, apart from `free_keys` and what is below them. Throws
// Error(run_malformed).
std::vector<ManifestDifference> compare_manifests(std::string_view before, std::string_view now,
                                                  const std::vector<std::string>& free_keys);

class RunDirectory {
 public:
  struct Options {
    std::string path;
    std::string manifest;  // JSON object: everything that decides the results
    std::vector<std::string>
        free_keys;  // dotted manifest keys that may differ on a resume (threads, machine, …)
    std::vector<std::string> inputs;  // files the run reads: none may be one that it writes
  };

  // Makes RUN or takes it up again: locks it, writes or compares the manifest, cuts a torn tail of
  // results.jsonl. Throws Error(cannot_create | run_locked | run_differs | run_malformed | bad_value).
  static RunDirectory open(const Options& options);

  // "runs/<pipeline>-<time>-<random>", made now; throws Error(cannot_create) when it exists already.
  static std::string make_default(const std::string& parent, const std::string& pipeline);

  RunState found_state() const { return found_state_; }  // what was there before open()
  const std::string& path() const { return path_; }
  const RowIndex& rows() const { return rows_; }     // of results.jsonl as found
  uint64_t cut_bytes() const { return cut_bytes_; }  // of a torn tail

  std::string file(std::string_view name) const;
  std::string results_path() const { return file("results.jsonl"); }

  RowWriter open_rows(SyncPolicy sync) const { return RowWriter(results_path(), sync); }
  // Copies a stream (standard input) to requests.jsonl, whole or not at all, and returns that path. Where it
  // exists already (a resume) nothing is read.
  std::string keep_requests(int fd) const;
  void write_progress(std::string_view json) const { replace_file_quickly(file("progress.json"), json); }
  void write_metrics(std::string_view prometheus) const {
    replace_file_quickly(file("metrics.prom"), prometheus);
  }
  void write_summary(std::string_view json) const { replace_file(file("summary.json"), json); }
  // The last act of a run.
  void write_done(uint64_t n_rows, uint64_t n_bytes) const;

 private:
  explicit RunDirectory(std::string path) : path_(std::move(path)) {}
  void lock();
  void settle_manifest(const Options& options);
  void refuse_own_files(const std::vector<std::string>& inputs) const;
  void repair();

  std::string path_;
  FileDescriptor lock_;
  RunState found_state_ = RunState::absent;
  RowIndex rows_;
  uint64_t cut_bytes_ = 0;
};

}  // namespace tenure
