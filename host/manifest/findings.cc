#include "manifest/findings.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace tenure {
namespace {
constexpr size_t max_findings = 100;
}

void Findings::add(const Place& place, Code code, std::string text, std::string help) {
  add(diagnostic_at(place, code, std::move(text), std::move(help)));
}

void Findings::add(Diagnostic d) {
  if (full()) {
    ++n_dropped_;
    return;
  }
  const std::string identity = fmt::format("{}:{}:{}:{}:{}", static_cast<unsigned>(d.code), d.where.file,
                                           d.where.line, d.where.column, d.text);
  if (seen_.insert(identity).second) diagnostics_.push_back(std::move(d));
}

void Findings::add(const Error& error) {
  for (const Diagnostic& d : error.diagnostics()) add(d);
}

bool Findings::full() const {
  return diagnostics_.size() >= max_findings;
}

void Findings::throw_if_any() const {
  if (diagnostics_.empty()) return;
  std::vector<Diagnostic> all = diagnostics_;
  std::stable_sort(all.begin(), all.end(), [](const Diagnostic& a, const Diagnostic& b) {
    return std::tie(a.where.file, a.where.line, a.where.column) <
           std::tie(b.where.file, b.where.line, b.where.column);
  });
  if (n_dropped_ > 0)
    all.push_back({.code = all.front().code, .text = fmt::format("and {} more", n_dropped_)});
  throw Error(std::move(all));
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates) {
  const std::string_view best = nearest(word, candidates);
  return best.empty() ? std::string() : fmt::format("did you mean \"{}\"?", best);
}

std::string joined(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, ", "));
}

}  // namespace tenure
