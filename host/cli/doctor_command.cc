// tenure doctor: one line a fact of this machine, its verdict, and what would mend it.
#include <fmt/format.h>

#include <algorithm>

#include "cli/commands.h"
#include "cli/machine_facts.h"
#include "cli/plan_loading.h"
#include "cli/streams.h"
#include "record/json_writer.h"

namespace tenure::cli {
namespace {

std::string_view verdict_word(FactVerdict verdict) {
  if (verdict == FactVerdict::ok) return "ok";
  return verdict == FactVerdict::note ? "note" : "bad";
}

std::vector<Fact> all_facts(const Arguments& arguments) {
  std::vector<Fact> facts;
  const auto add = [&](std::vector<Fact> more) { facts.insert(facts.end(), more.begin(), more.end()); };
  add(processor_facts());
  add(memory_facts());
  add(plugin_facts(plugin_search(arguments), arguments.get("backend").value_or("")));
  add(disk_facts(arguments.get("out").value_or(".")));
  add(environment_facts());
  return facts;
}

std::string text_of(const std::vector<Fact>& facts) {
  std::string text;
  for (const Fact& fact : facts) {
    text += fmt::format("{:<5} {:<14} {}\n", verdict_word(fact.verdict), fact.name, fact.fact);
    if (!fact.fix.empty()) text += fmt::format("{:<5} {:<14} -> {}\n", "", "", fact.fix);
  }
  return text;
}

std::string json_of(const std::vector<Fact>& facts, bool is_healthy) {
  JsonWriter json;
  json.begin_object();
  json.key("healthy").boolean(is_healthy);
  json.key("facts").begin_array();
  for (const Fact& fact : facts) {
    json.begin_object();
    json.key("name").string(fact.name);
    json.key("fact").string(fact.fact);
    json.key("verdict").string(verdict_word(fact.verdict));
    json.key("fix").string(fact.fix);
    json.end_object();
  }
  json.end_array();
  json.end_object();
  return json.take() + "\n";
}

int examine(const Arguments& arguments) {
  keep_stdout();
  const std::vector<Fact> facts = all_facts(arguments);
  const bool is_healthy = std::none_of(facts.begin(), facts.end(),
                                       [](const Fact& fact) { return fact.verdict == FactVerdict::bad; });
  print(arguments.has("json") ? json_of(facts, is_healthy) : text_of(facts));
  return is_healthy ? exit_ok : exit_unavailable;
}

}  // namespace

Command doctor_command() {
  return {.name = "doctor",
          .summary = "what this machine offers a run, and what to mend",
          .help = "  tenure doctor\n  tenure doctor --json --out /scratch/runs",
          .options =
              {{.name = "json", .help = "one JSON object"},
               {.name = "out", .letter = 'o', .argument = "DIR", .help = "where runs would be written (.)"},
               {.name = "backend", .argument = "ID", .help = "the backend to load"},
               {.name = "plugin-dir",
                .argument = "DIR",
                .help = "search plugins there first",
                .repeatable = true}},
          .run = examine};
}

}  // namespace tenure::cli
