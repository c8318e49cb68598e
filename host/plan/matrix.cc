#include "plan/matrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

namespace tenure {
namespace {

using Kind = TomlValue::Kind;

struct Axis {
  std::string key;  // canonical
  Address address;
  Place key_place;
  std::vector<TomlValue> values;
};

bool same_value(const TomlValue& a, const TomlValue& b) {
  return a.kind == b.kind && value_text(a) == value_text(b);
}

// Values that would make the name ambiguous are quoted.
std::string name_text(const TomlValue& value) {
  const std::string text = value_text(value);
  if (!value.is(Kind::string) || text.find_first_of(",=\"\\\n\t") == std::string::npos) return text;
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c == '\n' ? "\\n" : c == '\t' ? "\\t" : std::string(1, c);
  }
  return quoted + "\"";
}

class Matrix {
 public:
  Matrix(const TomlValue& root, const TomlMember& member, const std::vector<Override>& overrides,
         Findings& findings)
      : root_(root), member_(member), overrides_(overrides), findings_(findings) {}

  std::vector<MatrixCell> expand() {
    if (!read_axes()) return {};
    if (!small_enough()) return {};
    std::vector<MatrixCell> cells = product();
    exclude(cells);
    include(cells);
    if (cells.size() > max_cells) too_large(fmt::format("{}", cells.size()));
    if (cells.empty()) {
      findings_.add(member_.value.place, Code::matrix_empty, "the matrix has no cell left",
                    "every cell is excluded");
    }
    check_duplicates(cells);
    return cells;
  }

 private:
  // The edit that a key of [matrix], exclude or include stands for.
  std::optional<Address> address_of(const TomlMember& member) {
    if (member.value.is(Kind::table)) {
      findings_.add(member.key_place, Code::matrix_bad_key,
                    fmt::format("\"{}\" in [matrix] is a table, not an axis", member.key),
                    "quote the whole path: \"policy.locret.budget\" = [...]");
      return std::nullopt;
    }
    auto address = find_address(root_, member.key, member.key_place, findings_);
    if (address && address->is_section("run")) {
      findings_.add(member.key_place, Code::matrix_bad_key,
                    fmt::format("\"{}\" holds for the whole run, so no cell can have its own", member.key));
      return std::nullopt;
    }
    return address;
  }

  bool read_axes() {
    bool good = true;
    for (const TomlMember& member : member_.value.members) {
      if (member.key == "exclude" || member.key == "include" || member.key.starts_with("x-")) continue;
      auto address = address_of(member);
      if (!address || !read_values(member)) {
        good = false;
        continue;
      }
      Axis axis{to_text(*address), std::move(*address), member.key_place, member.value.items};
      for (const Override& fixed : overrides_) {
        if (to_text(fixed.address) == axis.key) axis.values = {fixed.value};
      }
      if (find_axis(axis.key)) {
        findings_.add(member.key_place, Code::matrix_bad_key, fmt::format("two axes for \"{}\"", axis.key));
        good = false;
      } else {
        axes_.push_back(std::move(axis));
      }
    }
    if (good && axes_.empty() && !member_.value.find("include")) {
      findings_.add(member_.value.place, Code::matrix_empty, "the matrix has no axis",
                    "\"policy.locret.budget\" = [\"1/2\", \"1/4\"]");
      good = false;
    }
    return good;
  }

  bool read_values(const TomlMember& member) {
    if (!member.value.is(Kind::array)) {
      findings_.add(member.value.place, Code::wrong_type,
                    fmt::format("axis \"{}\" is {}; wanted a list of values", member.key,
                                kind_name(member.value.kind)));
      return false;
    }
    if (member.value.items.empty()) {
      findings_.add(member.value.place, Code::matrix_empty,
                    fmt::format("axis \"{}\" has no values", member.key));
      return false;
    }
    for (const TomlValue& value : member.value.items) {
      if (!is_axis_value(value)) {
        findings_.add(value.place, Code::wrong_type,
                      fmt::format("axis \"{}\" holds {}; wanted booleans, numbers, strings or lists",
                                  member.key, kind_name(value.kind)));
        return false;
      }
    }
    return true;
  }

  static bool is_axis_value(const TomlValue& value) {
    return !value.is(Kind::table) && !value.is(Kind::date);
  }

  const Axis* find_axis(std::string_view key) const {
    for (const Axis& axis : axes_) {
      if (axis.key == key) return &axis;
    }
    return nullptr;
  }

  void too_large(std::string_view count) {
    std::string sizes;
    for (const Axis& axis : axes_)
      sizes += fmt::format("{}{}", sizes.empty() ? "" : " × ", axis.values.size());
    findings_.add(
        member_.value.place, Code::matrix_too_large,
        fmt::format("the matrix has {} cells ({}); at most {} are allowed", count, sizes, max_cells));
  }

  bool small_enough() {
    constexpr uint64_t countable = uint64_t{1} << 40;
    uint64_t count = 1;
    for (const Axis& axis : axes_) {
      if (count > countable) break;
      count *= axis.values.size();
    }
    if (count <= max_cells) return true;
    too_large(count > countable ? fmt::format("more than {}", countable) : fmt::format("{}", count));
    return false;
  }

  std::vector<MatrixCell> product() const {
    std::vector<MatrixCell> cells;
    if (axes_.empty()) return cells;
    cells.emplace_back();
    for (const Axis& axis : axes_) {
      std::vector<MatrixCell> longer;
      for (const MatrixCell& cell : cells) {
        for (const TomlValue& value : axis.values) {
          longer.push_back(cell);
          longer.back().edits.emplace(axis.key, CellEdit{axis.address, axis.key_place, value});
        }
      }
      cells = std::move(longer);
    }
    return cells;
  }

  // The tables of [[matrix.exclude]] or [[matrix.include]].
  std::vector<const TomlValue*> entries(std::string_view name) {
    std::vector<const TomlValue*> tables;
    const TomlMember* member = member_.value.find(name);
    if (!member) return tables;
    for (const TomlValue& item : member->value.items) {
      if (item.is(Kind::table)) tables.push_back(&item);
    }
    if (!member->value.is(Kind::array) || tables.size() != member->value.items.size()) {
      findings_.add(member->value.place, Code::wrong_type,
                    fmt::format("\"{}\" in [matrix] is no list of tables", name),
                    fmt::format("write [[matrix.{}]]", name));
    }
    return tables;
  }

  // An exclude or include entry as edits; nothing after a finding.
  std::optional<std::map<std::string, CellEdit>> edits_of(const TomlValue& entry) {
    std::map<std::string, CellEdit> edits;
    for (const TomlMember& member : entry.members) {
      const auto address = address_of(member);
      if (!address) return std::nullopt;
      if (!is_axis_value(member.value)) {
        findings_.add(member.value.place, Code::wrong_type,
                      fmt::format("\"{}\" is no value of an axis", member.key));
        return std::nullopt;
      }
      edits.emplace(to_text(*address), CellEdit{*address, member.key_place, member.value});
    }
    return edits;
  }

  static bool agrees(const MatrixCell& cell, const std::string& key, const CellEdit& edit) {
    const auto found = cell.edits.find(key);
    return found != cell.edits.end() && same_value(found->second.value, edit.value);
  }

  void exclude(std::vector<MatrixCell>& cells) {
    for (const TomlValue* entry : entries("exclude")) {
      const auto edits = edits_of(*entry);
      if (!edits || edits->empty()) continue;
      for (const auto& [key, edit] : *edits) {
        if (find_axis(key)) continue;
        findings_.add(edit.key_place, Code::matrix_bad_key,
                      fmt::format("\"{}\" is no axis of the matrix", key), did_you_mean(key, axis_keys()));
      }
      std::erase_if(cells, [&](const MatrixCell& cell) {
        return std::all_of(edits->begin(), edits->end(),
                           [&](const auto& e) { return agrees(cell, e.first, e.second); });
      });
    }
  }

  // As CI systems have it: an entry extends every cell of the product whose axes it agrees with; where there
  // is none, or nothing to add, it is a cell of its own.
  void include(std::vector<MatrixCell>& cells) {
    const size_t n_product = cells.size();
    for (const TomlValue* entry : entries("include")) {
      const auto edits = edits_of(*entry);
      if (!edits || edits->empty() || contradicts_override(*edits)) continue;
      const bool adds =
          std::any_of(edits->begin(), edits->end(), [&](const auto& e) { return !find_axis(e.first); });
      bool extended = false;
      for (size_t i = 0; adds && i < n_product; ++i) {
        if (!fits(cells[i], *edits)) continue;
        for (const auto& [key, edit] : *edits) cells[i].edits.insert_or_assign(key, edit);
        extended = true;
      }
      if (!extended) cells.push_back({*edits});
    }
  }

  bool fits(const MatrixCell& cell, const std::map<std::string, CellEdit>& edits) const {
    return std::all_of(edits.begin(), edits.end(),
                       [&](const auto& e) { return !find_axis(e.first) || agrees(cell, e.first, e.second); });
  }

  bool contradicts_override(const std::map<std::string, CellEdit>& edits) const {
    return std::any_of(overrides_.begin(), overrides_.end(), [&](const Override& fixed) {
      const auto found = edits.find(to_text(fixed.address));
      return found != edits.end() && !same_value(found->second.value, fixed.value);
    });
  }

  std::vector<std::string> axis_keys() const {
    std::vector<std::string> keys;
    for (const Axis& axis : axes_) keys.push_back(axis.key);
    return keys;
  }

  void check_duplicates(const std::vector<MatrixCell>& cells) {
    std::set<std::string> names;
    for (const MatrixCell& cell : cells) {
      const std::string name = cell.name();
      if (names.insert(name).second) continue;
      findings_.add(cell.edits.begin()->second.value.place, Code::matrix_duplicate_cell,
                    fmt::format("two cells of the matrix are \"{}\"", name));
    }
  }

  const TomlValue& root_;
  const TomlMember& member_;
  const std::vector<Override>& overrides_;
  Findings& findings_;
  std::vector<Axis> axes_;
};

}  // namespace

std::string MatrixCell::name() const {
  std::string name;
  for (const auto& [key, edit] : edits)
    name += fmt::format("{}{}={}", name.empty() ? "" : ",", key, name_text(edit.value));
  return name;
}

std::vector<MatrixCell> expand_matrix(const TomlValue& root, const std::vector<Override>& overrides,
                                      Findings& findings) {
  const TomlMember* member = root.find("matrix");
  if (!member) return std::vector<MatrixCell>(1);
  if (!member->value.is(Kind::table)) {
    findings.add(member->value.place, Code::wrong_type,
                 fmt::format("\"matrix\" is {}; wanted a section [matrix]", kind_name(member->value.kind)));
    return {};
  }
  return Matrix(root, *member, overrides, findings).expand();
}

}  // namespace tenure
