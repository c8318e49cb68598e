// How far a run is, on stderr: a bar that rewrites its line on a terminal, a plain line now and then elsewhere.
#pragma once

#include <chrono>
#include <string>

#include "record/progress.h"

namespace tenure::cli {

class ProgressBar {
 public:
  struct Options {
    bool quiet = false;
    std::chrono::seconds interval{10};  // between lines, where stderr is no terminal
    bool begins_at_once = false;        // the first line is not waited for
  };
  explicit ProgressBar(const Options& options);
  ~ProgressBar();  // leaves the terminal on a fresh line
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void show(const Progress& progress);
  // A line of its own, quiet or not.
  void tell(const std::string& text);
  // The last state, whenever the line before it was.
  void finish(const Progress& progress);

 private:
  Options options_;
  bool terminal_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point last_line_;
};

}  // namespace tenure::cli
