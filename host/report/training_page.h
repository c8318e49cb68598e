// What a training left, as one self-contained HTML page: loss curves of every layer.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace tenure {

struct TrainingPage {
  struct Judgement {  // of held-out documents
    uint32_t step = 0;
    double loss = 0;
    double overlap = 0;
  };
  struct Layer {
    uint32_t layer = 0;
    std::vector<float> losses;  // (steps)
    std::vector<Judgement> held_out;
  };
  std::string title;
  std::vector<std::pair<std::string, std::string>> facts;
  std::vector<Layer> layers;  // those that learned, ascending
};

std::string render(const TrainingPage& page);

}  // namespace tenure
