#include "eval/haystack.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <string_view>

#include "error/error.h"

namespace tenure {
namespace {

constexpr size_t n_random_words = 64;  // a vocabulary with fewer words has nothing to draw from
// A document is text with things hidden in it, not the other way round.
constexpr size_t least_filler_share = 8;
// Farther from where it was drawn nothing goes to stand between sentences.
constexpr size_t max_shift = 64;

bool is_word(std::string_view bytes) {
  if (bytes.starts_with(' ')) bytes.remove_prefix(1);
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  return !bytes.empty() && std::all_of(bytes.begin(), bytes.end(), is_letter);
}

}  // namespace

void append(std::vector<int32_t>& ids, const std::vector<int32_t>& more) {
  ids.insert(ids.end(), more.begin(), more.end());
}

Haystack::Haystack(const Tokenizer& tokenizer, std::vector<std::string> lines)
    : tokenizer_(tokenizer), lines_(std::move(lines)) {
  for (int32_t id = 0; id < tokenizer.n_vocab(); ++id) {
    if (is_word(tokenizer.bytes(id))) words_.push_back(id);
  }
  if (words_.size() < n_random_words) {
    throw Error(Code::model_unsupported,
                fmt::format("the vocabulary has {} words; {} are needed to draw from", words_.size(),
                            n_random_words));
  }
}

std::vector<int32_t> Haystack::encode(const std::string& text) const {
  return tokenizer_.encode(text, SpecialTokens::plain, TextStart::continuation);
}

std::vector<int32_t> Haystack::stretch(size_t n, Draws& draws) const {
  std::vector<int32_t> ids;
  const size_t first = draws.below(lines_.size());
  for (size_t i = 0; ids.size() < n; ++i) {
    if (i == lines_.size()) {
      throw Error(Code::input_unreadable,
                  fmt::format("the text is too short: it has {} tokens, a document and what follows it {}",
                              ids.size(), n));
    }
    append(ids, encode(lines_[(first + i) % lines_.size()] + "\n"));
  }
  return ids;
}

std::vector<int32_t> Haystack::random_words(size_t n, Draws& draws) const {
  std::vector<int32_t> ids(n);
  for (int32_t& id : ids) id = words_[draws.below(words_.size())];
  return ids;
}

std::vector<int32_t> Haystack::refrain(const std::vector<int32_t>& text, size_t n_passage, size_t n) const {
  const size_t end = std::max<size_t>(nearest_break(text, std::min(n_passage, text.size()), text.size()), 1);
  std::vector<int32_t> passage(text.begin(), text.begin() + static_cast<ptrdiff_t>(end));
  if (!tokenizer_.bytes(passage.back()).ends_with('\n')) append(passage, encode("\n"));
  std::vector<int32_t> ids;
  ids.reserve(n);
  for (size_t i = 0; i < n; ++i) ids.push_back(passage[i % passage.size()]);
  return ids;
}

Woven Haystack::weave(const std::vector<int32_t>& filler, const std::vector<std::vector<int32_t>>& inserts,
                      size_t n, Draws& draws) const {
  Woven woven;
  woven.ids.reserve(n);
  if (const std::optional<int32_t> bos = tokenizer_.bos_to_add()) woven.ids.push_back(*bos);
  size_t n_taken = woven.ids.size();
  for (const std::vector<int32_t>& insert : inserts) n_taken += insert.size();
  const size_t least = n_taken + n_taken / least_filler_share;
  if (n < least) {
    throw Error(
        Code::usage,
        fmt::format("documents of {} tokens are too short: their needles take {}, so at least {} are needed",
                    n, n_taken, least));
  }
  woven.n_filler = n - n_taken;
  std::vector<size_t> order(inserts.size());
  std::iota(order.begin(), order.end(), size_t{0});
  draws.shuffle(order);
  const auto take = [&](size_t first, size_t last) {
    woven.ids.insert(woven.ids.end(), filler.begin() + static_cast<ptrdiff_t>(first),
                     filler.begin() + static_cast<ptrdiff_t>(last));
  };
  size_t at = 0;  // of the filler
  for (size_t i = 0; i < order.size(); ++i) {
    // One a stratum, so that every document asks about all depths.
    const double depth = (static_cast<double>(i) + draws.next()) / static_cast<double>(order.size());
    const size_t next = nearest_break(
        filler, static_cast<size_t>(depth * static_cast<double>(woven.n_filler)), woven.n_filler);
    take(at, next);
    at = next;
    woven.hidden.push_back({.insert = order[i], .pos = static_cast<uint32_t>(woven.ids.size())});
    append(woven.ids, inserts[order[i]]);
  }
  take(at, woven.n_filler);
  return woven;
}

// Between 0 and `last`; `wanted` itself where there is none near. Never decreases as `wanted` grows.
size_t Haystack::nearest_break(const std::vector<int32_t>& filler, size_t wanted, size_t last) const {
  for (size_t distance = 0; distance <= max_shift; ++distance) {
    if (distance <= wanted && is_break(filler, wanted - distance)) return wanted - distance;
    if (wanted + distance <= last && is_break(filler, wanted + distance)) return wanted + distance;
  }
  return wanted;
}

// Whether a line or a sentence ends before token i.
bool Haystack::is_break(const std::vector<int32_t>& filler, size_t i) const {
  if (i == 0) return true;
  const std::string_view before = tokenizer_.bytes(filler[i - 1]);
  if (before.ends_with('\n')) return true;
  const bool ends = before.ends_with('.') || before.ends_with('!') || before.ends_with('?');
  return ends && i < filler.size() && tokenizer_.bytes(filler[i]).starts_with(' ');
}

}  // namespace tenure
