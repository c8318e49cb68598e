#include "eval/sentences.h"

#include <fmt/format.h>

#include <array>
#include <span>
#include <string_view>

namespace tenure {
namespace {

// A name is a beginning and an end: none is one of a novel's or an atlas's.
constexpr std::array<std::string_view, 24> beginnings = {
    "Aldw",   "Brenth", "Corvil", "Dunsk",  "Eskel",  "Fenwr",  "Gwyth", "Haldr",
    "Irvend", "Jorsk",  "Keswyn", "Lorch",  "Morvel", "Neshk",  "Ormst", "Pendr",
    "Quilth", "Rhosk",  "Stenw",  "Thornb", "Ulfr",   "Verdth", "Wystr", "Yarrow"};
constexpr std::array<std::string_view, 12> ends = {"aric", "ace", "een",  "eth",  "igan", "ild",
                                                   "odel", "olm", "ovar", "ough", "ulf",  "yne"};

// {0} who it is about, {1} where; what is asked for follows.
constexpr std::string_view wordings[] = {"The most precious thing that {0} ever owned was a",
                                         "In the chapel of {1} the monks of {0} show visitors a",
                                         "{0} paid the ferryman of {1} with a",
                                         "Every child in {1} has heard of {0} and the",
                                         "After the storm {0} found nothing on the beach of {1} but a",
                                         "The coat of arms of {0} is a",
                                         "{0} walked all the way to {1} carrying a",
                                         "The last will of {0} mentions only a",
                                         "For the birthday of {0} his neighbours in {1} bought a",
                                         "What {0} drew best was a"};

constexpr std::string_view qualities[] = {"blue",     "broken", "clay",  "cheap",   "crooked",  "dusty",
                                          "fragrant", "golden", "green", "heavy",   "hollow",   "long",
                                          "lead",     "narrow", "new",   "painted", "polished", "red",
                                          "round",    "silver", "small", "square",  "tall",     "wooden"};
constexpr std::string_view things[] = {
    "barrel", "bell",      "boat",   "book",  "bottle",  "bucket", "cart",   "chair",  "clock",   "coat",
    "cradle", "cup",       "drum",   "fan",   "flute",   "gate",   "hat",    "kettle", "key",     "ladder",
    "lamp",   "map",       "mirror", "nail",  "pipe",    "plough", "ribbon", "rope",   "saddle",  "shovel",
    "spoon",  "staircase", "stove",  "table", "thimble", "tower",  "vase",   "wheel",  "whistle", "window"};

// In a drawn order, each once.
class Supply {
 public:
  Supply(std::span<const std::string_view> texts, Draws& draws) : texts_(texts.begin(), texts.end()) {
    draws.shuffle(texts_);
  }
  std::string_view next() { return texts_.at(n_taken_++); }

 private:
  std::vector<std::string_view> texts_;
  size_t n_taken_ = 0;
};

}  // namespace

std::vector<Needle> sentence_facts(size_t n, Draws& draws) {
  Supply wording(wordings, draws), beginning(beginnings, draws), quality(qualities, draws),
      thing(things, draws);
  const auto name = [&] { return fmt::format("{}{}", beginning.next(), ends[draws.below(ends.size())]); };
  std::vector<Needle> needles;
  for (size_t i = 0; i < n; ++i) {
    const std::string who = name(), where = name();
    const std::string lead = fmt::format(fmt::runtime(wording.next()), who, where);
    std::string value;
    for (size_t n_qualities = draws.below(3); n_qualities > 0; --n_qualities)
      value += fmt::format(" {}", quality.next());
    value += fmt::format(" {}", thing.next());
    needles.push_back({.text = lead + value + ".", .question = "\n\n" + lead, .value = value});
  }
  return needles;
}

}  // namespace tenure
