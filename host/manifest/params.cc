#include "manifest/params.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "manifest/quantities.h"
#include "manifest/table_reader.h"

namespace tenure {
namespace {

using Kind = TomlValue::Kind;

std::string limit_text(const ParamSpec& spec, double limit) {
  if (spec.type == ParamType::size) return size_text(static_cast<uint64_t>(limit));
  if (spec.type == ParamType::duration)
    return duration_text(std::chrono::nanoseconds(static_cast<int64_t>(limit)));
  return number_text(limit) + (spec.unit.empty() ? "" : " " + spec.unit);
}

std::string allowed_range(const ParamSpec& spec) {
  if (spec.min && spec.max)
    return fmt::format("{} to {}", limit_text(spec, *spec.min), limit_text(spec, *spec.max));
  if (spec.min) return "at least " + limit_text(spec, *spec.min);
  return "at most " + limit_text(spec, spec.max.value_or(0));
}

bool within(const ParamSpec& spec, double value) {
  return !(spec.min && value < *spec.min) && !(spec.max && value > *spec.max);
}

// Turns one TOML value into a value of the spec's type; findings go to the reader.
class ParamReader {
 public:
  ParamReader(const ParamSpec& spec, TableReader& table, const TomlMember& member)
      : spec_(spec), table_(table), member_(member), value_(member.value) {}

  std::optional<ParamValue> read() {
    switch (spec_.type) {
      case ParamType::boolean:
        if (const auto v = table_.boolean(member_.key)) return made(*v);
        return std::nullopt;
      case ParamType::integer:
        if (!value_.is(Kind::integer)) return wrong("an integer");
        return in_range(static_cast<double>(value_.integer)) ? made(value_.integer) : std::nullopt;
      case ParamType::real:
        return read_real();
      case ParamType::string:
        if (!value_.is(Kind::string)) return wrong("a string");
        return made(value_.string);
      case ParamType::enumeration:
        return read_enumeration();
      case ParamType::path:
      case ParamType::weights:
        return read_path();
      case ParamType::size:
        if (const auto v = table_.size(member_.key); v && in_range(static_cast<double>(*v))) {
          return made(static_cast<int64_t>(*v));
        }
        return std::nullopt;
      case ParamType::duration:
        if (const auto v = table_.duration(member_.key); v && in_range(static_cast<double>(v->count()))) {
          return made(static_cast<int64_t>(v->count()));
        }
        return std::nullopt;
      case ParamType::list:
        return read_list();
    }
    return std::nullopt;
  }

 private:
  template <typename T>
  std::optional<ParamValue> made(T value) const {
    return ParamValue{spec_.name, spec_.type, std::move(value)};
  }

  std::optional<ParamValue> wrong(std::string_view wanted) {
    table_.wrong_type(member_, wanted);
    return std::nullopt;
  }

  bool in_range(double value) {
    if (std::isfinite(value) && within(spec_, value)) return true;
    const std::string allowed = std::isfinite(value) ? allowed_range(spec_) : "a finite number";
    table_.out_of_range(member_, value_.is(Kind::string) ? value_.string : number_text(value), allowed);
    return false;
  }

  std::optional<ParamValue> read_real() {
    if (!value_.is(Kind::real) && !value_.is(Kind::integer)) return wrong("a number");
    const double number = value_.is(Kind::real) ? value_.real : static_cast<double>(value_.integer);
    return in_range(number) ? made(number) : std::nullopt;
  }

  std::optional<ParamValue> read_enumeration() {
    const std::string wanted = fmt::format("one of \"{}\"", fmt::join(spec_.values, "\", \""));
    if (!value_.is(Kind::string)) return wrong(wanted);
    if (std::find(spec_.values.begin(), spec_.values.end(), value_.string) != spec_.values.end()) {
      return made(value_.string);
    }
    table_.bad_value(member_, wanted, did_you_mean(value_.string, spec_.values));
    return std::nullopt;
  }

  std::optional<ParamValue> read_path() {
    const auto path = table_.text(member_.key);
    if (!path) return std::nullopt;
    const bool is_named = spec_.type == ParamType::weights && is_builtin(*path);
    if (is_named || !value_.place.source) return made(*path);
    return made((value_.place.source->folder() / *path).lexically_normal().string());
  }

  std::optional<ParamScalar> scalar(const TomlValue& item) {
    switch (item.kind) {
      case Kind::boolean:
        return item.boolean;
      case Kind::integer:
        if (in_range(static_cast<double>(item.integer))) return item.integer;
        return std::nullopt;
      case Kind::real:
        if (in_range(item.real)) return item.real;
        return std::nullopt;
      case Kind::string:
        if (spec_.values.empty() ||
            std::find(spec_.values.begin(), spec_.values.end(), item.string) != spec_.values.end()) {
          return item.string;
        }
        table_.findings().add(item.place, Code::bad_value,
                              fmt::format("\"{}\" in {} holds \"{}\"; wanted \"{}\"", spec_.name,
                                          table_.title(), item.string, fmt::join(spec_.values, "\", \"")),
                              did_you_mean(item.string, spec_.values));
        return std::nullopt;
      default:
        table_.findings().add(item.place, Code::wrong_type,
                              fmt::format("\"{}\" in {} holds {}; wanted booleans, numbers or strings",
                                          spec_.name, table_.title(), kind_name(item.kind)));
        return std::nullopt;
    }
  }

  std::optional<ParamValue> read_list() {
    if (!value_.is(Kind::array)) return wrong("a list");
    std::vector<ParamScalar> list;
    for (const TomlValue& item : value_.items) {
      auto element = scalar(item);
      if (!element) return std::nullopt;
      if (const auto kind = list_kind(list); kind && *kind != element->index()) {
        table_.findings().add(
            item.place, Code::wrong_type,
            fmt::format("\"{}\" in {} mixes types; wanted a list of one type", spec_.name, table_.title()));
        return std::nullopt;
      }
      list.push_back(std::move(*element));
    }
    return made(std::move(list));
  }

  // The type every element has: that of the default's elements, else that of the first one.
  std::optional<size_t> list_kind(const std::vector<ParamScalar>& list) const {
    if (spec_.default_value) {
      const auto& defaults = std::get<std::vector<ParamScalar>>(spec_.default_value->value);
      if (!defaults.empty()) return defaults.front().index();
    }
    if (!list.empty()) return list.front().index();
    return std::nullopt;
  }

  const ParamSpec& spec_;
  TableReader& table_;
  const TomlMember& member_;
  const TomlValue& value_;
};

// A limit in the parameter's own type: "24 MiB" for a size, "20 ms" for a duration, else a number.
std::optional<double> read_limit(const ParamSpec& spec, TableReader& table, std::string_view key) {
  if (spec.type == ParamType::size) {
    const auto bytes = table.size(key);
    return bytes ? std::optional<double>(static_cast<double>(*bytes)) : std::nullopt;
  }
  if (spec.type == ParamType::duration) {
    const auto time = table.duration(key);
    return time ? std::optional<double>(static_cast<double>(time->count())) : std::nullopt;
  }
  constexpr double infinity = std::numeric_limits<double>::infinity();
  return table.number(key, -infinity, infinity);
}

bool has_limits(ParamType type) {
  return type == ParamType::integer || type == ParamType::real || type == ParamType::size ||
         type == ParamType::duration || type == ParamType::list;
}

}  // namespace

bool is_builtin(std::string_view weights) {
  return weights == "builtin" || weights.starts_with("builtin:");
}

std::vector<ParamValue> validate(const std::vector<ParamSpec>& schema, TableReader& table) {
  std::vector<ParamValue> values;
  for (const ParamSpec& spec : schema) {
    const TomlMember* member =
        spec.default_value ? table.take(spec.name) : table.require(spec.name, spec.doc);
    if (!member) {
      if (spec.default_value) values.push_back(*spec.default_value);
      continue;
    }
    if (auto value = ParamReader(spec, table, *member).read()) values.push_back(std::move(*value));
  }
  return values;
}

ParamSpec read_param_spec(TableReader& table) {
  ParamSpec spec;
  const TomlMember* name = table.require("name", "the parameter's key in a pipeline");
  if (name) spec.name = table.text("name").value_or("");
  table.require("type", "bool, int, float, string, enum, path, list, size, duration or weights");
  const auto type = table.choice<ParamType>("type");
  spec.unit = table.text("unit").value_or("");
  spec.doc = table.text("doc").value_or("");
  if (const auto values = table.texts("values")) spec.values = *values;
  const TomlMember* default_member = table.take("default");
  table.take("min");
  table.take("max");
  if (!type) return spec;

  spec.type = *type;
  for (const std::string_view limit : {"min", "max"}) {
    const TomlMember* member = table.take(limit);
    if (!member) continue;
    if (!has_limits(spec.type)) {
      table.findings().add(
          member->key_place, Code::unknown_key,
          fmt::format("\"{}\" means nothing for a parameter of type {}", limit, name_of(spec.type)));
    } else {
      (limit == "min" ? spec.min : spec.max) = read_limit(spec, table, limit);
    }
  }
  if (spec.min && spec.max && *spec.min > *spec.max)
    table.out_of_range(*table.take("min"), "above max", "at most max");
  if (spec.type == ParamType::enumeration && spec.values.empty())
    table.require("values", "the names an enum allows");
  if (default_member) spec.default_value = ParamReader(spec, table, *default_member).read();
  if (spec.default_value) spec.default_value->name = spec.name;
  return spec;
}

namespace {

std::string scalar_text(const ParamScalar& scalar) {
  if (const auto* b = std::get_if<bool>(&scalar)) return *b ? "true" : "false";
  if (const auto* i = std::get_if<int64_t>(&scalar)) return fmt::format("{}", *i);
  if (const auto* d = std::get_if<double>(&scalar)) return number_text(*d);
  return std::get<std::string>(scalar);
}

}  // namespace

std::string to_text(const ParamValue& value) {
  if (const auto* list = std::get_if<std::vector<ParamScalar>>(&value.value)) {
    std::vector<std::string> texts;
    for (const ParamScalar& scalar : *list) texts.push_back(scalar_text(scalar));
    return fmt::format("[{}]", fmt::join(texts, ", "));
  }
  if (const auto* i = std::get_if<int64_t>(&value.value)) {
    if (value.type == ParamType::size) return size_text(static_cast<uint64_t>(*i));
    if (value.type == ParamType::duration) return duration_text(std::chrono::nanoseconds(*i));
    return fmt::format("{}", *i);
  }
  if (const auto* b = std::get_if<bool>(&value.value)) return *b ? "true" : "false";
  if (const auto* d = std::get_if<double>(&value.value)) return number_text(*d);
  return std::get<std::string>(value.value);
}

}  // namespace tenure
