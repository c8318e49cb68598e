// This file is compiled with NDEBUG in every build type: an assertion of toml++ 3.3 can be reached by
// malformed text, which without it is an ordinary parse error.
#ifndef NDEBUG
#define NDEBUG
#endif
#define TOML_EXCEPTIONS 0
#include "manifest/toml_tree.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "manifest/toml_guard.h"

namespace tenure {
namespace {

// toml++ counts columns in code points, we count bytes. A table for each line that is not ASCII keeps a
// hostile one-line file linear.
class Offsets {
 public:
  explicit Offsets(const SourceText& source) : source_(source) {}

  uint32_t of(const toml::source_position& at) {
    const size_t start = source_.line_start(at.line);
    const std::vector<uint32_t>& columns = columns_of(at.line);
    const size_t column = at.column > 0 ? at.column - 1 : 0;
    if (columns.empty()) return clamp(start + column);
    return clamp(start + columns[std::min(column, columns.size() - 1)]);
  }

  Place place(const toml::source_region& region) {
    const uint32_t begin = of(region.begin);
    const uint32_t end = region.end ? of(region.end) : begin;
    return {&source_, begin, end > begin ? end - begin : 1};
  }

 private:
  uint32_t clamp(size_t offset) const {
    return static_cast<uint32_t>(std::min(offset, source_.text().size()));
  }

  // Byte offset of each code point of the line and of its end; empty for an ASCII line.
  const std::vector<uint32_t>& columns_of(uint32_t line) {
    const auto [entry, is_new] = lines_.try_emplace(line);
    if (!is_new) return entry->second;
    const std::string_view text = source_.line(line);
    const auto beyond_ascii = [](char c) { return static_cast<unsigned char>(c) >= 0x80; };
    if (std::none_of(text.begin(), text.end(), beyond_ascii)) return entry->second;
    for (uint32_t i = 0; i < text.size(); ++i) {
      if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) entry->second.push_back(i);
    }
    entry->second.push_back(static_cast<uint32_t>(text.size()));
    return entry->second;
  }

  const SourceText& source_;
  std::unordered_map<uint32_t, std::vector<uint32_t>> lines_;
};

class TreeBuilder {
 public:
  explicit TreeBuilder(const SourceText& source) : offsets_(source) {}

  TomlValue build(const toml::node& node, size_t depth) {
    TomlValue value;
    value.place = offsets_.place(node.source());
    if (depth > max_depth) {
      throw Error(diagnostic_at(value.place, Code::toml_too_large,
                                fmt::format("keys and values nested more than {} deep", max_depth)));
    }
    if (const auto* table = node.as_table()) {
      build_members(value, *table, depth);
    } else if (const auto* array = node.as_array()) {
      value.kind = TomlValue::Kind::array;
      value.items.reserve(array->size());
      for (const toml::node& item : *array) value.items.push_back(build(item, depth + 1));
    } else {
      build_scalar(value, node);
    }
    return value;
  }

 private:
  static constexpr size_t max_depth = 256;  // dots inside inline tables multiply the guard's two limits

  void build_members(TomlValue& value, const toml::table& table, size_t depth) {
    value.kind = TomlValue::Kind::table;
    value.members.reserve(table.size());
    for (const auto& [key, child] : table) {
      value.members.push_back(
          {std::string(key.str()), offsets_.place(key.source()), build(child, depth + 1)});
    }
    std::sort(value.members.begin(), value.members.end(), [](const TomlMember& a, const TomlMember& b) {
      return a.key_place.offset < b.key_place.offset;
    });
  }

  static void build_scalar(TomlValue& value, const toml::node& node) {
    if (const auto* string = node.as_string()) {
      value.kind = TomlValue::Kind::string;
      value.string = string->get();
    } else if (const auto* integer = node.as_integer()) {
      value.kind = TomlValue::Kind::integer;
      value.integer = integer->get();
    } else if (const auto* real = node.as_floating_point()) {
      value.kind = TomlValue::Kind::real;
      value.real = real->get();
    } else if (const auto* boolean = node.as_boolean()) {
      value.kind = TomlValue::Kind::boolean;
      value.boolean = boolean->get();
    } else {
      value.kind = TomlValue::Kind::date;
    }
  }

  Offsets offsets_;
};

}  // namespace

TomlValue parse_toml_tree(const SourceText& source) {
  const toml::parse_result result = toml::parse(std::string_view(source.text()));
  if (!result) {
    const toml::parse_error& error = result.error();
    throw Error(diagnostic_at(Offsets(source).place(error.source()), Code::toml_syntax,
                              std::string(error.description())));
  }
  return TreeBuilder(source).build(result.table(), 0);
}

}  // namespace tenure
