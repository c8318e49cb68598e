#include "plan/address.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>

#include "manifest/quantities.h"

namespace tenure {
namespace {

using Kind = TomlValue::Kind;

bool is_bare(std::string_view part) {
  return part.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") ==
         part.npos;
}

std::vector<std::string> names_in(const TomlValue& root, std::string_view section) {
  std::vector<std::string> names;
  const TomlMember* found = root.find(section);
  if (!found) return names;
  for (const TomlMember& member : found->value.members) names.push_back(member.key);
  for (const TomlValue& item : found->value.items) {
    const TomlMember* id = item.find("id");
    if (id && id->value.is(Kind::string)) names.push_back(id->value.string);
  }
  return names;
}

TomlValue* child_table(TomlValue& table, const std::string& key, const Place& place) {
  TomlValue empty;
  empty.place = place;
  if (TomlMember* member = table.find(key)) {
    // A path that goes on below a plain value makes it a table, which the resolver then refuses by its type.
    if (!member->value.is(Kind::table) && !member->value.is(Kind::array)) member->value = std::move(empty);
    return &member->value;
  }
  table.members.push_back({key, place, std::move(empty)});
  return &table.members.back().value;
}

TomlValue* stage_of(TomlValue& stages, const std::string& id) {
  for (TomlValue& item : stages.items) {
    const TomlMember* member = item.find("id");
    if (member && member->value.is(Kind::string) && member->value.string == id) return &item;
  }
  return nullptr;
}

// Parses the text after "=" as one TOML value; a text that is none is a string.
TomlValue override_value(const std::string& text) {
  TomlValue value;
  value.kind = Kind::string;
  value.string = text;
  try {
    const TomlDocument document = parse_toml("value = " + text, "--set", {});
    if (document.root.members.size() == 1 && !document.root.members[0].value.is(Kind::date)) {
      value = document.root.members[0].value;
    }
  } catch (const Error&) {
  }
  return value;
}

void place_all(TomlValue& value, const Place& place) {
  value.place = place;
  for (TomlValue& item : value.items) place_all(item, place);
  for (TomlMember& member : value.members) {
    member.key_place = place;
    place_all(member.value, place);
  }
}

}  // namespace

std::optional<std::vector<std::string>> split_path(std::string_view path) {
  std::vector<std::string> parts;
  size_t i = 0;
  while (true) {
    std::string part;
    if (i < path.size() && (path[i] == '"' || path[i] == '\'')) {
      const size_t close = path.find(path[i], i + 1);
      if (close == std::string_view::npos) return std::nullopt;
      part = path.substr(i + 1, close - i - 1);
      i = close + 1;
    } else {
      const size_t end = std::min(path.find('.', i), path.size());
      part = path.substr(i, end - i);
      i = end;
    }
    if (part.empty()) return std::nullopt;
    parts.push_back(std::move(part));
    if (i == path.size()) return parts;
    if (path[i] != '.') return std::nullopt;
    ++i;
  }
}

std::string to_text(const Address& address) {
  std::string out;
  for (const std::string& part : address.parts) {
    if (!out.empty()) out += '.';
    out += is_bare(part) ? part : "\"" + part + "\"";
  }
  return out;
}

std::optional<Address> find_address(const TomlValue& root, std::string_view path, const Place& place,
                                    Findings& findings) {
  static const std::vector<std::string> sections = {"run", "model", "backend", "engine", "policy", "stage"};
  const auto refuse = [&](std::string why, std::string help) {
    findings.add(place, Code::matrix_bad_key, fmt::format("\"{}\" {}", path, why), std::move(help));
    return std::nullopt;
  };
  auto parts = split_path(path);
  if (!parts)
    return refuse("is not a dotted path", "such as \"policy.locret.budget\" or \"stage.prompts.path\"");
  Address address{std::move(*parts)};
  const std::string& section = address.parts[0];
  if (std::find(sections.begin(), sections.end(), section) == sections.end()) {
    const std::string hint = did_you_mean(section, sections);
    return refuse(fmt::format("addresses no section \"{}\"", section),
                  fmt::format("{}{}(sections: {})", hint, hint.empty() ? "" : "  ", joined(sections)));
  }
  const size_t first_key = address.is_named() ? 2 : 1;
  if (address.is_named() && address.parts.size() > 1) {
    const std::vector<std::string> names = names_in(root, section);
    if (std::find(names.begin(), names.end(), address.parts[1]) == names.end()) {
      const std::string hint = did_you_mean(address.parts[1], names);
      return refuse(
          fmt::format("addresses no {} \"{}\"", section, address.parts[1]),
          fmt::format("{}{}({}: {})", hint, hint.empty() ? "" : "  ",
                      section == "policy" ? "policies" : "stages", names.empty() ? "none" : joined(names)));
    }
  }
  if (address.parts.size() <= first_key)
    return refuse("addresses a section, not a value", "add the key's name");
  if (section == "stage" && address.parts[2] == "id")
    return refuse("addresses an id, which names the stage itself", "");
  return address;
}

void assign(TomlValue& root, const Address& address, const Place& key_place, const TomlValue& value) {
  TomlValue* table = child_table(root, address.parts[0], key_place);
  size_t next = 1;
  if (address.is_section("stage")) {
    table = stage_of(*table, address.parts[next++]);
    if (!table) return;
  }
  for (; next + 1 < address.parts.size(); ++next) table = child_table(*table, address.parts[next], key_place);
  const std::string& key = address.parts.back();
  if (TomlMember* member = table->find(key)) {
    member->key_place = key_place;
    member->value = value;
  } else {
    table->members.push_back({key, key_place, value});
  }
}

std::optional<Override> read_override(const TomlValue& root, const std::string& argument,
                                      Findings& findings) {
  std::error_code ignored;
  Override out;
  out.source = std::make_unique<const SourceText>("--set", argument, std::filesystem::current_path(ignored));
  const Place whole{out.source.get(), 0, static_cast<uint32_t>(argument.size())};
  const size_t equals = argument.find('=');
  if (equals == std::string::npos) {
    findings.add(whole, Code::bad_value, fmt::format("--set \"{}\" is not KEY=VALUE", argument));
    return std::nullopt;
  }
  const auto trimmed = [](std::string_view s) {
    while (!s.empty() && s.front() == ' ') s.remove_prefix(1);
    while (!s.empty() && s.back() == ' ') s.remove_suffix(1);
    return s;
  };
  const std::string_view key = trimmed(std::string_view(argument).substr(0, equals));
  auto address = find_address(root, key, {out.source.get(), 0, static_cast<uint32_t>(equals)}, findings);
  if (!address) return std::nullopt;
  out.address = std::move(*address);
  out.value = override_value(std::string(trimmed(std::string_view(argument).substr(equals + 1))));
  const auto start = static_cast<uint32_t>(equals + 1);
  place_all(out.value, {out.source.get(), start, static_cast<uint32_t>(argument.size()) - start});
  return out;
}

std::string value_text(const TomlValue& value) {
  switch (value.kind) {
    case Kind::boolean:
      return value.boolean ? "true" : "false";
    case Kind::integer:
      return fmt::format("{}", value.integer);
    case Kind::real:
      return number_text(value.real);
    case Kind::string:
      return value.string;
    case Kind::array: {
      std::string out;
      for (const TomlValue& item : value.items) out += (out.empty() ? "" : ", ") + value_text(item);
      return "[" + out + "]";
    }
    default:
      return std::string(kind_name(value.kind));
  }
}

}  // namespace tenure
