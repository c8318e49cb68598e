#include "cli/training_bar.h"

#include <fmt/format.h>

#include <cmath>
#include <string>

#include "cli/streams.h"

namespace tenure::cli {
namespace {

constexpr std::chrono::milliseconds between_drawings{100};
constexpr std::chrono::seconds between_lines{10};

std::string line_of(const TrainingProgress& p) {
  if (p.phase == TrainingProgress::Phase::capture) return fmt::format("reading documents: {} of {}", p.n_done, p.n_all);
  std::string line = fmt::format("training: layer {} ({} of {}), step {} of {}, loss {:.3f}", p.layer, p.n_done + 1, p.n_all, p.step, p.n_steps, p.loss);
  if (p.held_out) line += fmt::format(", held out {:.3f}, top 12.5 % overlap {:.3f}", p.held_out->loss, p.held_out->overlap);
  return line;
}

std::string duration(double seconds) {
  const auto s = static_cast<uint64_t>(std::lround(seconds));
  return s < 100 ? fmt::format("{}s", s) : fmt::format("{}m{:02}s", s / 60, s % 60);
}

}  // namespace

TrainingBar::TrainingBar() : terminal_(stderr_is_terminal()), began_(Clock::now()), last_line_(began_) {}

TrainingBar::~TrainingBar() {
  if (drawn_) talk("\n");
}

double TrainingBar::seconds() const { return std::chrono::duration<double>(Clock::now() - began_).count(); }

void TrainingBar::show(const TrainingProgress& progress) {
  const auto now = Clock::now();
  if (phase_ != progress.phase) {
    phase_ = progress.phase;
    phase_began_ = now;
    share_at_begin_ = progress.share;
  }
  if (now - last_line_ < (terminal_ ? Clock::duration(between_drawings) : Clock::duration(between_lines))) return;
  last_line_ = now;
  std::string line = line_of(progress);
  if (const double done = progress.share - share_at_begin_; done > 0.01) {
    const double took = std::chrono::duration<double>(now - phase_began_).count();
    line += fmt::format(", {} left", duration(took / done * (1 - progress.share)));
  }
  if (!terminal_) return print_error(line);
  talk(fmt::format("\r{}\x1b[K", line));
  drawn_ = true;
}

}  // namespace tenure::cli
