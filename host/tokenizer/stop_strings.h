// Watches streamed bytes for stop strings and holds back what may become one, so that no part of it is ever
// shown.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tenure {

// One stream's state; a copy goes on independently. Linear in the bytes pushed (Knuth-Morris-Pratt, one
// automaton a stop string). Not thread-safe.
class StopStrings {
 public:
  // Empty strings are ignored: they would stop before anything was said.
  explicit StopStrings(std::vector<std::string> stops);

  // Appends to `shown` what can no longer become part of a stop string. True when one is complete: everything
  // before it has been shown, it and what follows never will be, and further pushes are ignored. Of stops
  // that end at the same byte the longest counts.
  bool push(std::string_view bytes, std::string& shown);

  // The stream is over without a stop: shows what was held back.
  void finish(std::string& shown);

  bool stopped() const { return stopped_; }

 private:
  struct Automaton {
    std::string stop;
    std::vector<size_t> border;  // (stop.size()); longest proper prefix of stop[0..i] that is also its suffix
    size_t n_matched = 0;        // bytes of `stop` that the stream ends with
  };
  static bool advance(Automaton& automaton, char byte);

  std::vector<Automaton> automata_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace tenure
