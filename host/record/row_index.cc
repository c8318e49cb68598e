#include "record/row_index.h"

#include <algorithm>
#include <optional>

#include "record/file_io.h"

namespace tenure {
namespace {

// FNV-1a's shape with a finaliser; two odd multipliers give two hashes that do not collide together.
uint64_t multiply_xor(std::string_view bytes, uint64_t multiplier) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * multiplier;
  hash ^= hash >> 32;
  hash *= 0xd6e8feb86659fd93u;
  return hash ^ (hash >> 32);
}

}  // namespace

Hash128 hash_of(std::string_view bytes) {
  return {multiply_xor(bytes, 0x100000001b3u), multiply_xor(bytes, 0x9e3779b97f4a7c15u)};
}

namespace {

Hash128 key_of(std::string_view id, std::string_view cell, std::string_view stage, int64_t sample) {
  std::string bytes;
  for (std::string_view part : {id, cell, stage}) {
    bytes += std::to_string(part.size());
    bytes += ':';
    bytes += part;
  }
  bytes += std::to_string(sample);
  return hash_of(bytes);
}

}  // namespace

void RowIndex::add(const ResultRow& row, uint64_t offset) {
  const RowMark mark{.status = row.status, .attempt = row.attempt, .offset = offset};
  const auto [at, is_new] = marks_.try_emplace(key_of(row.id, row.cell, row.stage, row.sample), mark);
  if (!is_new && mark.attempt >= at->second.attempt) at->second = mark;
}

const RowMark* RowIndex::find(std::string_view id, std::string_view cell, std::string_view stage,
                              int64_t sample) const {
  const auto at = marks_.find(key_of(id, cell, stage, sample));
  return at == marks_.end() ? nullptr : &at->second;
}

bool RowIndex::is_done(std::string_view id, std::string_view cell, std::string_view stage, int64_t sample,
                       bool retry_errors) const {
  const RowMark* mark = find(id, cell, stage, sample);
  return mark && !(retry_errors && mark->status == RowStatus::error);
}

int64_t RowIndex::next_attempt(std::string_view id, std::string_view cell, std::string_view stage,
                               int64_t sample) const {
  const RowMark* mark = find(id, cell, stage, sample);
  return mark ? mark->attempt + 1 : 1;
}

RowIndex RowIndex::read(const std::string& results_path) {
  RowIndex index;
  if (!file_exists(results_path)) return index;
  LineReader lines(results_path, row_line_cap);
  std::optional<uint64_t>
      torn;  // where a tail begins that a crash left: no newline, or blocks never written (NUL)
  while (const auto line = lines.next()) {
    const std::optional<ResultRow> row = line->terminated ? parse_row(line->text) : std::nullopt;
    if (row) {
      torn.reset();
      index.add(*row, line->offset);
      ++index.scan_.n_lines;
    } else if (!line->terminated || line->text.find('\0') != std::string_view::npos) {
      if (!torn) torn = line->offset;
    } else {
      torn.reset();
      ++index.scan_.n_unreadable;
    }
  }
  index.scan_.end = torn ? *torn : lines.offset();
  return index;
}

RowIndex::Scan for_each_current_row(const std::string& results_path,
                                    const std::function<void(const ResultRow&, std::string_view)>& visit) {
  const RowIndex index = RowIndex::read(results_path);
  if (index.size() == 0) return index.scan();
  LineReader lines(results_path, row_line_cap);
  while (const auto line = lines.next()) {
    const std::optional<ResultRow> row = line->terminated ? parse_row(line->text) : std::nullopt;
    if (!row) continue;
    const RowMark* mark = index.find(row->id, row->cell, row->stage, row->sample);
    if (mark && mark->offset == line->offset) visit(*row, line->text);
  }
  return index.scan();
}

}  // namespace tenure
