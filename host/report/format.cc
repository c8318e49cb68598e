#include "report/format.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <utility>

#include "record/row.h"

namespace tenure {
namespace {

std::string_view last_part(std::string_view path) {
  const size_t dot = path.rfind('.');
  return dot == std::string_view::npos ? path : path.substr(dot + 1);
}

// Three significant digits without an exponent where that is readable.
std::string three_digits(double value) {
  const double size = std::fabs(value);
  if (size == 0) return "0";
  if (size >= 100'000 || size < 0.001) return fmt::format("{:.2e}", value);
  if (size >= 100) return fmt::format("{:.0f}", value);
  if (size >= 10) return fmt::format("{:.1f}", value);
  if (size >= 1) return fmt::format("{:.2f}", value);
  return fmt::format("{:.3f}", value);
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') {
          out += "\xef\xbf\xbd";
        } else {
          out += c;
        }
    }
  }
  return out;
}

std::string shorten(std::string_view text, size_t most) {
  size_t n_characters = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool starts_character = (static_cast<unsigned char>(text[i]) & 0xc0) != 0x80;
    if (starts_character && ++n_characters > most) return std::string(text.substr(0, i)) + "…";
  }
  return std::string(text);
}

Unit shown_unit(std::string_view metric) {
  if (is_accuracy(metric)) return Unit::share;
  const std::string_view last = last_part(metric);
  if (metric.starts_with("compare.") && (last == "agree_tokens" || last == "kl")) return Unit::plain;
  if (metric.starts_with("compare.") && metric.find('.', 8) != std::string_view::npos) return Unit::ratio;
  if (last.ends_with("_bytes") || last == "bytes_per_token") return Unit::bytes;
  if (last.ends_with("_ms")) return Unit::milliseconds;
  if (last.ends_with("_tps")) return Unit::per_second;
  return Unit::plain;
}

std::string title_of(std::string_view metric) {
  using Name = std::pair<std::string_view, std::string_view>;
  constexpr std::array<Name, 22> names = {Name{"exact_match", "Exact match"},
                                          {"segments.token_accuracy", "Token accuracy"},
                                          {"segments.exact_match", "Exact match, mean of segments"},
                                          {"score.token_accuracy", "Token accuracy"},
                                          {"score.ppl", "Perplexity"},
                                          {"score.logprob", "Log-probability"},
                                          {"kv.peak_bytes", "Peak KV cache"},
                                          {"kv.end_bytes", "KV cache at the end"},
                                          {"timing.ttft_ms", "Time to first token"},
                                          {"timing.tpot_ms", "Time per output token"},
                                          {"timing.prefill_tps", "Prefill tokens/s"},
                                          {"timing.decode_tps", "Decode tokens/s"},
                                          {"timing.policy_ms", "Time in the policy"},
                                          {"timing.rebuild_ms", "Time in rebuild"},
                                          {"timing.total_ms", "Time per request"},
                                          {"events.released", "Slots released"},
                                          {"events.rebuilt", "Slots rebuilt"},
                                          {"compare.exact_match", "Same text as the reference"},
                                          {"compare.kl", "KL from the reference"},
                                          {"compare.top1", "Same top token"},
                                          {"compare.agree_tokens", "Tokens agreeing"},
                                          {"compare.kv.peak_bytes", "Peak KV ÷ reference"}};
  for (const auto& [path, name] : names) {
    if (path == metric) return std::string(name);
  }
  if (metric.starts_with("compare.")) return std::string(metric.substr(8)) + " against the reference";
  return std::string(metric);
}

std::string format_bytes(double bytes) {
  constexpr std::array<std::string_view, 5> units = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  while (std::fabs(bytes) >= 1024 && unit + 1 < units.size()) {
    bytes /= 1024;
    ++unit;
  }
  return fmt::format("{} {}", three_digits(bytes), units[unit]);
}

std::string format_count(double count) {
  const std::string digits = fmt::format("{:.0f}", std::fabs(count));
  std::string out = count < 0 ? "-" : "";
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) out += ',';
    out += digits[i];
  }
  return out;
}

std::string format_tokens(int64_t tokens) {
  return tokens >= 1024 && tokens % 1024 == 0 ? fmt::format("{}K", tokens / 1024) : fmt::format("{}", tokens);
}

std::string format_value(double value, Unit unit) {
  switch (unit) {
    case Unit::share:
      return fmt::format("{:.1f} %", 100 * value);
    case Unit::ratio:
      return "×" + three_digits(value);
    case Unit::bytes:
      return format_bytes(value);
    case Unit::milliseconds:
      return value >= 10'000 ? fmt::format("{:.1f} s", value / 1000) : three_digits(value) + " ms";
    case Unit::per_second:
      return three_digits(value) + "/s";
    case Unit::plain:
      break;
  }
  const bool is_count = value == std::floor(value) || std::fabs(value) >= 1000;
  return is_count && std::fabs(value) < 1e15 ? format_count(value) : three_digits(value);
}

}  // namespace tenure
