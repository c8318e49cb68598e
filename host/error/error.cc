#include "error/error.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace tenure {

namespace {

bool is_continuation(char c) {
  return (static_cast<unsigned char>(c) & 0xC0) == 0x80;
}

// Messages quote foreign text: control characters must not reach a terminal, nor a value of megabytes.
std::string printable(std::string_view text) {
  constexpr size_t longest = 4000;
  size_t end = std::min(text.size(), longest);
  while (end < text.size() && end > 0 && is_continuation(text[end])) --end;
  std::string out;
  for (char c : text.substr(0, end)) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_control = (byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7F;
    out += is_control ? fmt::format("\\x{:02x}", byte) : std::string(1, c);
  }
  return end < text.size() ? out + "…" : out;
}

// The quoted line keeps its bytes' columns, so one mark stands for each control character.
std::string printable_line(std::string line) {
  for (char& c : line) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t') || byte == 0x7F) c = '?';
  }
  return line;
}

// Blanks as wide as the text: columns count bytes, terminals show code points, and a tab is as wide as a tab.
std::string blanks(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (!is_continuation(c)) out += c == '\t' ? '\t' : ' ';
  }
  return out;
}

}  // namespace

std::string render(const Diagnostic& d) {
  std::string out = fmt::format("error[E{:04}]: {}", static_cast<unsigned>(d.code), printable(d.text));
  if (!d.where.file.empty()) {
    out += fmt::format("\n  --> {}", d.where.file);
    if (d.where.line > 0) out += fmt::format(":{}:{}", d.where.line, std::max(1u, d.where.column));
  }
  if (!d.source_line.empty() && d.where.line > 0) {
    const std::string number = fmt::format("{}", d.where.line);
    const std::string_view line = d.source_line;
    const size_t start = std::min<size_t>(std::max(1u, d.where.column) - 1, line.size());
    const std::string under = blanks(line.substr(start, d.span));
    out += fmt::format("\n{} | {}", number, printable_line(d.source_line));
    out += fmt::format("\n{} | {}{}", std::string(number.size(), ' '), blanks(line.substr(0, start)),
                       std::string(std::max<size_t>(1, under.size()), '^'));
    if (!d.help.empty()) out += fmt::format(" {}", printable(d.help));
  } else if (!d.help.empty()) {
    out += fmt::format("\n  help: {}", printable(d.help));
  }
  return out;
}

std::string render(const std::vector<Diagnostic>& diagnostics) {
  std::string out;
  for (const Diagnostic& d : diagnostics) {
    if (!out.empty()) out += "\n\n";
    out += render(d);
  }
  return out;
}

Error::Error(Diagnostic diagnostic) : Error(std::vector<Diagnostic>{std::move(diagnostic)}) {}

Error::Error(std::vector<Diagnostic> diagnostics) : diagnostics_(std::move(diagnostics)) {
  if (diagnostics_.empty())
    diagnostics_.push_back({.code = Code::internal, .text = "an error without a cause"});
  rendered_ = render(diagnostics_);
}

Error::Error(Code code, std::string text) : Error(Diagnostic{.code = code, .text = std::move(text)}) {}

int Error::exit_code() const noexcept {
  return info(code()).exit_code;
}

namespace {

// Optimal string alignment: insert, delete, replace, swap neighbours, each 1.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t cost = a[i - 1] == b[j - 1] ? 0 : 1;
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + cost});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

std::string_view nearest(std::string_view word, const std::vector<std::string>& candidates) {
  constexpr size_t longest = 64;  // nobody mistypes more; keeps hostile keys cheap
  if (word.size() > longest) return {};
  std::string_view best;
  size_t best_distance = std::max<size_t>(1, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    if (candidate.size() > longest) continue;
    const size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace tenure
