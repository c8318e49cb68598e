// A plugin's typed parameters: the schema from its manifest and values checked against it before any plugin
// code runs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "manifest/choices.h"

namespace tenure {

class Findings;
class TableReader;
struct TomlValue;

enum class ParamType { boolean, integer, real, string, enumeration, path, list, size, duration, weights };
template <>
inline constexpr Choice<ParamType> choices<ParamType>[] = {
    {"bool", ParamType::boolean},  {"int", ParamType::integer}, {"float", ParamType::real},
    {"string", ParamType::string}, {"path", ParamType::path},   {"enum", ParamType::enumeration},
    {"list", ParamType::list},     {"size", ParamType::size},   {"duration", ParamType::duration},
    {"weights", ParamType::weights}};

// What a list holds: one kind of scalar throughout.
using ParamScalar = std::variant<bool, int64_t, double, std::string>;

// boolean: bool · integer: int64_t · size: int64_t bytes · duration: int64_t nanoseconds · real: double,
// finite · string, enumeration: std::string · path: absolute · weights: absolute, or "builtin" / "builtin:NAME" as
// written · list: vector.
struct ParamValue {
  std::string name;
  ParamType type = ParamType::string;
  std::variant<bool, int64_t, double, std::string, std::vector<ParamScalar>> value;

  friend bool operator==(const ParamValue&, const ParamValue&) = default;
};

struct ParamSpec {
  std::string name;
  ParamType type = ParamType::string;
  std::optional<ParamValue> default_value;  // absent: the pipeline must give the parameter
  std::optional<double> min, max;   // of int, float, size (bytes), duration (ns), and of a list's numbers
  std::vector<std::string> values;  // of an enum; of a list's strings when not empty
  std::string unit;
  std::string doc;
};

// Takes the parameters of `schema` out of the table, checks them and fills in defaults. The result is in
// schema order and complete unless something was found wrong. Relative paths become absolute by the folder of
// the file that names them.
std::vector<ParamValue> validate(const std::vector<ParamSpec>& schema, TableReader&);

// Reads one [[param]] table of a manifest.
ParamSpec read_param_spec(TableReader&);

// "builtin" or "builtin:NAME": weights that come with a plugin, not a file of the user's.
bool is_builtin(std::string_view weights);

// Canonical text: true · 12 · 0.5 · as written · 24 MiB · 20 ms · [a, b].
std::string to_text(const ParamValue&);

}  // namespace tenure
