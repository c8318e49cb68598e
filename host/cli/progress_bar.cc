#include "cli/progress_bar.h"

#include <fmt/format.h>

#include <cmath>
#include <string>

#include "cli/streams.h"

namespace tenure::cli {
namespace {

std::string duration(double seconds) {
  const auto s = static_cast<uint64_t>(std::lround(seconds));
  if (s < 100) return fmt::format("{}s", s);
  return s < 6000 ? fmt::format("{}m{:02}s", s / 60, s % 60) : fmt::format("{}h{:02}m", s / 3600, s / 60 % 60);
}

std::string line_of(const Progress& p) {
  std::string text = fmt::format("{} {} rows", p.state, p.rows.total());
  if (p.rows.error > 0) text += fmt::format(", {} errors", p.rows.error);
  if (p.rows.limit > 0) text += fmt::format(", {} limits", p.rows.limit);
  if (p.n_alerts > 0) text += fmt::format(", {} alerts", p.n_alerts);
  text += fmt::format(" | {} sessions | {:.0f} + {:.0f} tok/s | KV {:.1f} MiB", p.sessions, p.prefill_tps, p.decode_tps,
                      static_cast<double>(p.kv_bytes) / 1048576.0);
  if (!p.cell.empty()) text += " | " + p.cell;
  text += " | " + duration(p.elapsed_s);
  if (p.eta_s) text += ", " + duration(*p.eta_s) + " left";
  return text;
}

// The share that is done, as far as the remaining time tells.
std::string bar_of(const Progress& p) {
  constexpr int width = 20;
  if (!p.eta_s || p.elapsed_s + *p.eta_s <= 0) return std::string(width, '.');
  const int full = static_cast<int>(width * p.elapsed_s / (p.elapsed_s + *p.eta_s));
  return std::string(static_cast<size_t>(full), '#') + std::string(static_cast<size_t>(width - full), '.');
}

}  // namespace

ProgressBar::ProgressBar(const Options& options)
    : options_(options),
      terminal_(stderr_is_terminal()),
      last_line_(std::chrono::steady_clock::now() - (options.begins_at_once ? options.interval : std::chrono::seconds(0))) {}

ProgressBar::~ProgressBar() {
  if (drawn_) talk("\n");
}

void ProgressBar::show(const Progress& progress) {
  if (options_.quiet) return;
  if (terminal_) {
    // Carriage return and erase-to-end: nothing but this line moves.
    talk(fmt::format("\r[{}] {}\x1b[K", bar_of(progress), line_of(progress)));
    drawn_ = true;
    return;
  }
  const auto now = std::chrono::steady_clock::now();
  if (now - last_line_ < options_.interval) return;
  last_line_ = now;
  print_error(line_of(progress));
}

void ProgressBar::tell(const std::string& text) {
  // The bar is drawn anew below.
  print_error(drawn_ ? fmt::format("\r\x1b[K{}", text) : text);
}

void ProgressBar::finish(const Progress& progress) {
  if (terminal_) return show(progress);
  print_error(line_of(progress));
}

}  // namespace tenure::cli
