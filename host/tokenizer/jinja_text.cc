#include "tokenizer/jinja_text.h"

#include "tokenizer/jinja_value.h"
#include "tokenizer/utf8.h"

namespace tenure::jinja {
namespace {

size_t last_code_point(std::string_view text) {
  size_t n = 1;
  while (n < text.size() && n < 4 && (static_cast<uint8_t>(text[text.size() - n]) & 0xC0) == 0x80) ++n;
  return n;
}

bool is_stripped(std::string_view code_point, std::optional<std::string_view> characters) {
  if (!characters) return is_python_space(read_utf8(code_point).value);
  return characters->find(code_point) != std::string_view::npos;
}

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
char upper(char c) {
  return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}
char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// Whether `c` follows something that makes it a word's first letter.
bool starts_word(std::string_view before, Case to) {
  if (before.empty()) return true;
  if (to == Case::title_letters) return !is_letter(before.back());
  if (to == Case::title_words) {
    return is_python_space(static_cast<uint8_t>(before.back())) ||
           std::string_view("-({[<").find(before.back()) != std::string_view::npos;
  }
  return false;
}

void add_part(std::vector<std::string>& parts, std::string_view part) {
  if (parts.size() >= Limits::loop_steps) throw Failure("split: more than a million parts");
  parts.emplace_back(part);
}

std::vector<std::string> split_at_space(std::string_view text, int64_t limit) {
  std::vector<std::string> parts;
  for (text = strip(text, Side::left); !text.empty(); text = strip(text, Side::left)) {
    if (limit >= 0 && static_cast<int64_t>(parts.size()) == limit) {
      add_part(parts, strip(text, Side::right));
      return parts;
    }
    size_t end = 0;
    while (end < text.size() && !is_python_space(read_utf8(text.substr(end)).value)) {
      end += read_utf8(text.substr(end)).n_bytes;
    }
    add_part(parts, text.substr(0, end));
    text.remove_prefix(end);
  }
  return parts;
}

}  // namespace

std::string_view strip(std::string_view text, Side side, std::optional<std::string_view> characters) {
  while (side != Side::right && !text.empty()) {
    const size_t n = read_utf8(text).n_bytes;
    if (!is_stripped(text.substr(0, n), characters)) break;
    text.remove_prefix(n);
  }
  while (side != Side::left && !text.empty()) {
    const size_t n = last_code_point(text);
    if (!is_stripped(text.substr(text.size() - n), characters)) break;
    text.remove_suffix(n);
  }
  return text;
}

size_t n_code_points(std::string_view text) {
  return code_point_offsets(text).size() - 1;
}

std::vector<size_t> code_point_offsets(std::string_view text) {
  std::vector<size_t> offsets;
  size_t at = 0;
  while (at < text.size()) {
    offsets.push_back(at);
    at += read_utf8(text.substr(at)).n_bytes;
  }
  offsets.push_back(at);
  return offsets;
}

std::string change_case(std::string_view text, Case to) {
  std::string changed;
  changed.reserve(text.size());
  for (char c : text) {
    if (static_cast<uint8_t>(c) >= 0x80)
      throw Failure("changing the case of text beyond ASCII is not supported");
    const bool raise =
        to == Case::upper || (to != Case::lower && starts_word(text.substr(0, changed.size()), to));
    changed += raise ? upper(c) : lower(c);
  }
  return changed;
}

std::vector<std::string> split(std::string_view text, std::optional<std::string_view> separator,
                               int64_t limit) {
  if (!separator) return split_at_space(text, limit);
  if (separator->empty()) throw Failure("split: the separator is empty");
  std::vector<std::string> parts;
  size_t found = 0;
  while ((limit < 0 || static_cast<int64_t>(parts.size()) < limit) &&
         (found = text.find(*separator)) != std::string_view::npos) {
    add_part(parts, text.substr(0, found));
    text.remove_prefix(found + separator->size());
  }
  add_part(parts, text);
  return parts;
}

std::string replace(std::string_view text, std::string_view from, std::string_view to, int64_t limit) {
  if (from.empty()) throw Failure("replace: the text to replace is empty");
  std::string replaced;
  for (; limit != 0; --limit) {
    const size_t found = text.find(from);
    if (found == std::string_view::npos) break;
    append_bounded(replaced, text.substr(0, found));
    append_bounded(replaced, to);
    text.remove_prefix(found + from.size());
  }
  append_bounded(replaced, text);
  return replaced;
}

}  // namespace tenure::jinja
