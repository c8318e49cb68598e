#include "record/input_scan.h"

#include <fmt/format.h>

#include <unordered_map>

#include "error/error.h"
#include "record/row_index.h"

namespace tenure {

InputScan scan_input(const std::vector<std::string>& paths, const LineMapping& mapping, size_t line_cap) {
  struct Place {
    uint32_t file = 0;
    uint64_t line = 0;
  };
  constexpr size_t most_reported = 10;
  InputScan scan;
  std::unordered_map<Hash128, Place, Hash128::Folded> seen;
  std::vector<Diagnostic> duplicates;
  for (uint32_t file = 0; file < paths.size(); ++file) {
    LineReader lines(paths[file], line_cap);
    while (const auto line = lines.next()) {
      const ParsedRequest parsed =
          line->too_long ? RequestError{} : parse_request(line->text, line->number, mapping);
      const Request* request = std::get_if<Request>(&parsed);
      if (!request) {
        ++scan.n_bad;
        continue;
      }
      ++scan.n_requests;
      const auto [at, is_new] = seen.try_emplace(hash_of(request->id), Place{file, line->number});
      if (is_new || duplicates.size() == most_reported) continue;
      duplicates.push_back(
          {.code = Code::duplicate_request,
           .text = fmt::format("id \"{}\" was given already in {}:{}", request->id.substr(0, 100),
                               paths[at->second.file], at->second.line),
           .where = {.file = paths[file], .line = static_cast<uint32_t>(line->number)}});
    }
    scan.n_bytes += lines.offset();
  }
  if (!duplicates.empty()) throw Error(std::move(duplicates));
  return scan;
}

}  // namespace tenure
