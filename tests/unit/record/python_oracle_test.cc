// Python's json module as an independent reader of what we write and an independent judge of what we refuse.
#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <random>

#include "made_rows.h"
#include "record/json_value.h"
#include "record/row.h"
#include "scratch.h"

using namespace tenure;

namespace {

// Prints 1 for a line that is strict JSON without duplicate keys, lone surrogates and non-finite numbers,
// else 0.
constexpr const char* judge_script = R"(
import json, math, sys
def pairs(items):
    keys = [k for k, _ in items]
    if len(set(keys)) != len(keys): raise ValueError("duplicate")
    return dict(items)
def number(text):
    value = float(text)
    if math.isinf(value): raise ValueError("overflow")
    return value
def refuse(name): raise ValueError(name)
out = open(sys.argv[2], "w")
for line in open(sys.argv[1], "rb").read().split(b"\n")[:-1]:
    try:
        value = json.loads(line.decode("utf-8"), object_pairs_hook=pairs, parse_float=number, parse_constant=refuse)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
        out.write("1")
    except (ValueError, RecursionError):
        out.write("0")
)";

std::string judged_by_python(const Scratch& scratch, const std::string& lines) {
  const std::string script = scratch.write("judge.py", judge_script);
  const std::string input = scratch.write("lines", lines);
  const std::string output = scratch.file("verdicts");
  REQUIRE(std::system((std::string(TENURE_PYTHON) + " " + script + " " + input + " " + output).c_str()) == 0);
  return Scratch::read(output);
}

}  // namespace

TEST_CASE("rows - Python reads every line we write") {
  const Scratch scratch;
  MadeRows made(8);
  std::string lines;
  for (int i = 0; i < 300; ++i) {
    ResultRow row = made.row();
    if (i % 3 == 0) row.text += "\xe6\xbc";
    if (i % 5 == 0) row.exact_match = std::nan("");
    lines += to_json_line(row) + "\n";
  }
  CHECK(judged_by_python(scratch, lines) == std::string(300, '1'));
}

TEST_CASE("parser - accepts and refuses mutated lines as Python does") {
  const Scratch scratch;
  std::mt19937 random(9);
  const std::string seeds[] = {
      R"({"id":"a","prompt":"x\u00e9\ud83d\ude00","n":[1,-2.5e3,0.1,1e308],"o":{"k":null,"t":true}})",
      R"([{"a":1,"b":{"a":2}},"\\\"/\b\f\n\r\t",123456789012345678901234567890,-0,false])"};
  const std::string alphabet = "{}[],:\"\\u0d8e+-.19tfn \x01\xc3\xa9\xff";
  std::string lines;
  std::vector<std::string> all;
  for (int i = 0; i < 4000; ++i) {
    std::string line = seeds[random() % 2];
    for (uint32_t n = random() % 4; n > 0; --n) {
      const size_t at = random() % line.size();
      const char c = alphabet[random() % alphabet.size()];
      if (random() % 3 == 0) {
        line.erase(at, 1);
      } else if (random() % 2 == 0) {
        line.insert(at, 1, c);
      } else {
        line[at] = c;
      }
    }
    all.push_back(line);
    lines += line + "\n";
  }
  const std::string verdicts = judged_by_python(scratch, lines);
  REQUIRE(verdicts.size() == all.size());
  size_t n_accepted = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    const bool accepted = std::holds_alternative<JsonValue>(parse_json(all[i]));
    n_accepted += accepted;
    CAPTURE(all[i]);
    CHECK(accepted == (verdicts[i] == '1'));
  }
  CHECK(n_accepted > 500);
  CHECK(n_accepted < 3500);
}
