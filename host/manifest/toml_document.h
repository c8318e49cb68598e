// The guarded front of toml++, the only place that includes it. A TOML text becomes a tree of
// our own values that know their place in the text; no toml++ type or exception leaves. Parse on the main
// thread: toml++ recurses.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "error/error.h"

namespace tenure {

// A text that diagnostics quote. Immutable.
class SourceText {
 public:
  // Relative paths inside the text are relative to `folder`.
  SourceText(std::string file, std::string text, std::filesystem::path folder);

  const std::string& file() const { return file_; }
  const std::string& text() const { return text_; }
  const std::filesystem::path& folder() const { return folder_; }
  // Both count from 1, columns in bytes.
  std::pair<uint32_t, uint32_t> line_and_column(size_t offset) const;
  size_t line_start(uint32_t line) const;
  std::string_view line(uint32_t line) const;  // without its line end

 private:
  std::string file_;
  std::string text_;
  std::filesystem::path folder_;
  std::vector<uint32_t> line_starts_;
};

// A stretch of bytes of a text; source may be null: no place known. Valid as long as the text.
struct Place {
  const SourceText* source = nullptr;
  uint32_t offset = 0;
  uint32_t length = 0;
};

SourcePosition position_of(const Place&);
Diagnostic diagnostic_at(const Place&, Code, std::string text, std::string help = {});

struct TomlMember;

// One value. Only the member that `kind` names means something.
struct TomlValue {
  enum class Kind { boolean, integer, real, string, date, array, table };
  Kind kind = Kind::table;
  Place place;
  bool boolean = false;
  int64_t integer = 0;
  double real = 0;
  std::string string;
  std::vector<TomlValue> items;     // array
  std::vector<TomlMember> members;  // table, in the order of the text

  bool is(Kind k) const { return kind == k; }
  const TomlMember* find(std::string_view key) const;
  TomlMember* find(std::string_view key);
};

struct TomlMember {
  std::string key;
  Place key_place;
  TomlValue value;
};

// "a string", "an integer", … for messages.
std::string_view kind_name(TomlValue::Kind);

// A parsed text and its tree. Places in the tree point into `source`, which does not move with the document.
struct TomlDocument {
  std::unique_ptr<const SourceText> source;
  TomlValue root;
};

// Both throw Error: toml_syntax, toml_encoding, toml_too_large (78), input_missing, input_unreadable (66).
// A byte order mark and CRLF are accepted; at most 1 MiB, 64 dots a key, 64 nested values.
TomlDocument read_toml_file(const std::filesystem::path& file);
TomlDocument parse_toml(std::string text, std::string file, std::filesystem::path folder);

}  // namespace tenure
