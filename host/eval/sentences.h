// Statements about invented names, to be found again in running text.
#pragma once

#include <vector>

#include "eval/draws.h"
#include "eval/needles.h"

namespace tenure {

// `n` sentences whose last one to three words are asked for by beginning the sentence again. No two are about
// the same name, are worded alike or share a word of their ends; n is at most 10.
std::vector<Needle> sentence_facts(size_t n, Draws& draws);

}  // namespace tenure
