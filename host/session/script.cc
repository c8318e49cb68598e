#include "session/script.h"

#include <algorithm>

namespace tenure {

namespace {

template <typename Length>
uint64_t longest_path(const std::vector<SegmentScript>& segments, Length length) {
  uint64_t longest = 0;
  uint64_t trunk = 0;
  for (const SegmentScript& segment : segments) {
    const uint64_t end = trunk + length(segment);
    longest = std::max(longest, end);
    if (!segment.fork) trunk = end;
  }
  return longest;
}

}  // namespace

uint64_t SessionScript::n_fed() const {
  return longest_path(segments, [](const SegmentScript& s) { return s.ids.size() + (s.in_place_of > 0 ? 0 : s.score.size()); });
}

uint64_t SessionScript::n_total() const {
  return longest_path(segments, [](const SegmentScript& s) { return s.ids.size() + std::max<size_t>(s.score.size(), s.in_place_of) + s.generate; });
}

}  // namespace tenure
