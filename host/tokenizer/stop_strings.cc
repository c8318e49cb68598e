#include "tokenizer/stop_strings.h"

#include <algorithm>

namespace tenure {

StopStrings::StopStrings(std::vector<std::string> stops) {
  for (std::string& stop : stops) {
    if (stop.empty()) continue;
    std::vector<size_t> border(stop.size(), 0);
    for (size_t i = 1, k = 0; i < stop.size(); ++i) {
      while (k > 0 && stop[i] != stop[k]) k = border[k - 1];
      if (stop[i] == stop[k]) ++k;
      border[i] = k;
    }
    automata_.push_back({std::move(stop), std::move(border)});
  }
}

bool StopStrings::advance(Automaton& automaton, char byte) {
  size_t& k = automaton.n_matched;
  while (k > 0 && automaton.stop[k] != byte) k = automaton.border[k - 1];
  if (automaton.stop[k] == byte) ++k;
  return k == automaton.stop.size();
}

bool StopStrings::push(std::string_view bytes, std::string& shown) {
  for (char byte : bytes) {
    if (stopped_) break;
    held_ += byte;
    size_t n_possible = 0;
    size_t n_stop = 0;
    for (Automaton& automaton : automata_) {
      if (advance(automaton, byte)) n_stop = std::max(n_stop, automaton.stop.size());
      n_possible = std::max(n_possible, automaton.n_matched);
    }
    if (n_stop > 0) {
      shown.append(held_, 0, held_.size() - n_stop);
      held_.clear();
      stopped_ = true;
    } else if (n_possible < held_.size()) {
      shown.append(held_, 0, held_.size() - n_possible);
      held_.erase(0, held_.size() - n_possible);
    }
  }
  return stopped_;
}

void StopStrings::finish(std::string& shown) {
  shown += held_;
  held_.clear();
}

}  // namespace tenure
