// How far a run is, on stderr: a bar that rewrites its line on a terminal, a plain line every ten seconds elsewhere.
#pragma once

#include <chrono>

#include "record/progress.h"

namespace tenure::cli {

class ProgressBar {
 public:
  explicit ProgressBar(bool quiet);
  ~ProgressBar();  // leaves the terminal on a fresh line
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void show(const Progress& progress);

 private:
  bool quiet_;
  bool terminal_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point last_line_;
};

}  // namespace tenure::cli
