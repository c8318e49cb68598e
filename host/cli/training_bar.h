// How far a training is, on stderr: a line that rewrites itself on a terminal, a plain one every ten seconds elsewhere.
#pragma once

#include <chrono>

#include "train/training.h"

namespace tenure::cli {

class TrainingBar {
 public:
  TrainingBar();
  ~TrainingBar();  // leaves the terminal on a fresh line
  TrainingBar(const TrainingBar&) = delete;
  TrainingBar& operator=(const TrainingBar&) = delete;

  void show(const TrainingProgress& progress);
  double seconds() const;  // since it was made

 private:
  using Clock = std::chrono::steady_clock;

  bool terminal_;
  bool drawn_ = false;
  Clock::time_point began_;
  Clock::time_point last_line_;
  // The phase that is timed, and how much of it an earlier process had done.
  std::optional<TrainingProgress::Phase> phase_;
  Clock::time_point phase_began_;
  double share_at_begin_ = 0;
};

}  // namespace tenure::cli
