#include "manifest/toml_document.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <system_error>

#include "manifest/toml_guard.h"
#include "manifest/toml_tree.h"

namespace tenure {

SourceText::SourceText(std::string file, std::string text, std::filesystem::path folder)
    : file_(std::move(file)), text_(std::move(text)), folder_(std::move(folder)), line_starts_{0} {
  for (size_t i = 0; i < text_.size(); ++i) {
    if (text_[i] == '\n') line_starts_.push_back(static_cast<uint32_t>(i + 1));
  }
}

std::pair<uint32_t, uint32_t> SourceText::line_and_column(size_t offset) const {
  const auto next = std::upper_bound(line_starts_.begin(), line_starts_.end(), offset);
  const size_t line = static_cast<size_t>(next - line_starts_.begin());
  return {static_cast<uint32_t>(line), static_cast<uint32_t>(offset - line_starts_[line - 1] + 1)};
}

size_t SourceText::line_start(uint32_t line) const {
  return line >= 1 && line <= line_starts_.size() ? line_starts_[line - 1] : text_.size();
}

std::string_view SourceText::line(uint32_t line) const {
  const size_t start = line_start(line);
  std::string_view rest = std::string_view(text_).substr(start);
  rest = rest.substr(0, rest.find('\n'));
  if (!rest.empty() && rest.back() == '\r') rest.remove_suffix(1);
  return rest;
}

SourcePosition position_of(const Place& place) {
  if (!place.source) return {};
  const auto [line, column] = place.source->line_and_column(place.offset);
  return {.file = place.source->file(), .line = line, .column = column};
}

Diagnostic diagnostic_at(const Place& place, Code code, std::string text, std::string help) {
  constexpr size_t longest_quoted = 400;  // a line beyond this helps nobody
  Diagnostic d{.code = code, .text = std::move(text), .where = position_of(place), .help = std::move(help)};
  if (!place.source) return d;
  const std::string_view line = place.source->line(d.where.line);
  if (line.size() > longest_quoted) return d;
  d.source_line = line;
  const size_t left = line.size() + 1 - std::min<size_t>(d.where.column, line.size() + 1);
  d.span = static_cast<uint32_t>(std::clamp<size_t>(place.length, 1, std::max<size_t>(1, left)));
  return d;
}

const TomlMember* TomlValue::find(std::string_view key) const {
  for (const TomlMember& member : members) {
    if (member.key == key) return &member;
  }
  return nullptr;
}

TomlMember* TomlValue::find(std::string_view key) {
  return const_cast<TomlMember*>(static_cast<const TomlValue*>(this)->find(key));
}

std::string_view kind_name(TomlValue::Kind kind) {
  switch (kind) {
    case TomlValue::Kind::boolean:
      return "a boolean";
    case TomlValue::Kind::integer:
      return "an integer";
    case TomlValue::Kind::real:
      return "a float";
    case TomlValue::Kind::string:
      return "a string";
    case TomlValue::Kind::date:
      return "a date or time";
    case TomlValue::Kind::array:
      return "a list";
    case TomlValue::Kind::table:
      return "a table";
  }
  return "?";
}

TomlDocument parse_toml(std::string text, std::string file, std::filesystem::path folder) {
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  TomlDocument document;
  document.source = std::make_unique<const SourceText>(std::move(file), std::move(text), std::move(folder));
  const SourceText& source = *document.source;
  if (const auto finding = refuse_toml(source.text())) {
    if (finding->length == 0) {
      throw Error(Diagnostic{.code = finding->code, .text = finding->text, .where = {.file = source.file()}});
    }
    const Place place{&source, static_cast<uint32_t>(finding->offset),
                      static_cast<uint32_t>(finding->length)};
    throw Error(diagnostic_at(place, finding->code, finding->text));
  }
  document.root = parse_toml_tree(source);
  return document;
}

TomlDocument read_toml_file(const std::filesystem::path& file) {
  const auto refuse = [&](Code code, std::string_view why) {
    throw Error(Diagnostic{.code = code, .text = fmt::format("{}: {}", file.string(), why)});
  };
  std::error_code ignored;
  const auto status = std::filesystem::status(file, ignored);
  if (!std::filesystem::exists(status)) refuse(Code::input_missing, "no such file");
  if (std::filesystem::is_directory(status)) refuse(Code::input_missing, "is a directory");
  std::ifstream in(file, std::ios::binary);
  std::string text(max_toml_bytes + 4, '\0');  // 3 bytes of a byte order mark, 1 to see that there is more
  if (!in.read(text.data(), static_cast<std::streamsize>(text.size())) && in.bad()) {
    refuse(Code::input_unreadable, "cannot be read");
  }
  if (in.gcount() == 0 && !in.eof()) refuse(Code::input_unreadable, "cannot be opened for reading");
  text.resize(static_cast<size_t>(in.gcount()));
  const auto folder = std::filesystem::absolute(file, ignored).parent_path();
  return parse_toml(std::move(text), file.string(), folder);
}

}  // namespace tenure
