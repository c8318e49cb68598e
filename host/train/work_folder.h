// Where a training that is not done yet keeps what it has: a folder beside the output, locked while a process works in it.
// Files are replaced whole, so that a kill at any moment leaves the last state or the one before.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "record/file_io.h"
#include "train/layer_training.h"

namespace tenure {

struct TrainedLayer {
  std::vector<std::vector<float>> parameters;  // for inputs as they are
  LayerCurve curve;
};

class WorkFolder {
 public:
  // Makes the folder, or takes up what another process left there. identity: everything that decides the result, one
  // "key = value" a line. Throws Error: run_locked, run_differs (naming the first line that does), cannot_create,
  // write_failed.
  WorkFolder(std::string path, const std::string& identity);

  std::string features_file() const { return path_ + "/features"; }

  uint32_t n_captured() const;  // documents whose features and labels are whole
  void set_captured(uint32_t n);
  std::optional<TrainedLayer> trained(uint32_t layer) const;
  void set_trained(uint32_t layer, const TrainedLayer& result);
  // Of the layer that is in training.
  std::optional<LayerState> checkpoint(uint32_t layer) const;
  void set_checkpoint(uint32_t layer, const LayerState& state);

  // Deletes it, the training being done.
  void remove();

 private:
  std::string layer_file(uint32_t layer) const;

  std::string path_;
  FileDescriptor lock_;
};

}  // namespace tenure
