#include "plan/environment.h"

#include <fmt/format.h>

#include <cstdlib>

namespace tenure {
namespace {

struct Unset {
  std::string name;
  Place place;
};

bool is_name(std::string_view s) {
  if (s.empty() || (s[0] >= '0' && s[0] <= '9')) return false;
  return s.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == s.npos;
}

class Substitution {
 public:
  explicit Substitution(const Environment& environment) : environment_(environment) {}

  void walk(TomlValue& value) {
    if (value.is(TomlValue::Kind::string)) value.string = replaced(value);
    for (TomlValue& item : value.items) walk(item);
    for (TomlMember& member : value.members) walk(member.value);
  }

  void throw_if_unset() const {
    if (unset_.empty()) return;
    std::string list;
    for (const Unset& u : unset_) {
      const SourcePosition at = position_of(u.place);
      list += fmt::format("{}{} ({}:{})", list.empty() ? "" : ", ", u.name, at.line, at.column);
    }
    throw Error(diagnostic_at(unset_.front().place, Code::unset_variable,
                              fmt::format("unset variable{}: {}", unset_.size() == 1 ? "" : "s", list),
                              "export it, or write ${NAME:-default}"));
  }

 private:
  std::string replaced(const TomlValue& value) {
    const std::string_view in = value.string;
    std::string out;
    size_t i = 0;
    while (i < in.size()) {
      if (in.substr(i).starts_with("$${")) {
        out += "${";
        i += 3;
        continue;
      }
      const size_t close = in.substr(i).starts_with("${") ? in.find('}', i) : std::string_view::npos;
      if (close == std::string_view::npos) {
        out += in[i++];
        continue;
      }
      out += expansion(value, in.substr(i + 2, close - i - 2));
      i = close + 1;
    }
    return out;
  }

  std::string expansion(const TomlValue& value, std::string_view body) {
    const size_t dash = body.find(":-");
    const std::string name(body.substr(0, dash));
    if (!is_name(name)) {
      throw Error(diagnostic_at(place_of(value, name), Code::bad_value,
                                fmt::format("\"${{{}}}\" does not name a variable", body),
                                "write $${ for a plain ${"));
    }
    if (auto found = environment_(name)) return *found;
    if (dash != std::string_view::npos) return std::string(body.substr(dash + 2));
    unset_.push_back({name, place_of(value, name)});
    return {};
  }

  // Where "${NAME" stands in the text, if it does so without escapes; else the whole value.
  static Place place_of(const TomlValue& value, const std::string& name) {
    if (!value.place.source) return value.place;
    const std::string_view written =
        std::string_view(value.place.source->text()).substr(value.place.offset, value.place.length);
    const size_t at = written.find("${" + name);
    if (at == std::string_view::npos) return value.place;
    return {value.place.source, value.place.offset + static_cast<uint32_t>(at),
            static_cast<uint32_t>(name.size() + 2)};
  }

  const Environment& environment_;
  std::vector<Unset> unset_;
};

}  // namespace

std::optional<std::string> process_environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value ? std::optional<std::string>(value) : std::nullopt;
}

void substitute_variables(TomlValue& root, const Environment& environment) {
  Substitution substitution(environment);
  substitution.walk(root);
  substitution.throw_if_unset();
}

}  // namespace tenure
