// Dotted paths that address a value of a pipeline: "policy.locret.budget", "stage.prompts.path". Shared by
// the matrix and --set.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "manifest/findings.h"
#include "manifest/toml_document.h"

namespace tenure {

struct Address {
  std::vector<std::string> parts;  // section, for policy and stage a name, then at least one key

  bool is_section(std::string_view name) const { return parts.front() == name; }
  bool is_named() const { return is_section("policy") || is_section("stage"); }
};

// Splits at dots outside quotes; nothing when a part is empty or a quote is left open.
std::optional<std::vector<std::string>> split_path(std::string_view path);
// The canonical spelling: parts with anything but letters, digits, _ and - in double quotes.
std::string to_text(const Address&);

// Checks that `path` addresses a value of this tree: section, policy and stage exist. Whether the last key
// does is the resolver's to say, since plugins have keys of their own. Findings are at `place`.
std::optional<Address> find_address(const TomlValue& root, std::string_view path, const Place& place,
                                    Findings&);

// Puts the value there, replacing or adding the key. The address has been found in a tree of the same shape.
void assign(TomlValue& root, const Address&, const Place& key_place, const TomlValue& value);

// A --set argument, "key=value". Its text lives in `source`, which must outlive the tree.
struct Override {
  std::unique_ptr<const SourceText> source;
  Address address;
  TomlValue value;
};
std::optional<Override> read_override(const TomlValue& root, const std::string& argument, Findings&);

// "1/8", 4, true, [a, b]: how cells, rows and comparisons spell a value.
std::string value_text(const TomlValue&);

}  // namespace tenure
