// tenure graph: the stages of a pipeline and what feeds what, as a drawing program or a script reads it.
#include <fmt/format.h>

#include <map>
#include <set>

#include "cli/commands.h"
#include "cli/plan_loading.h"
#include "cli/streams.h"
#include "error/error.h"
#include "record/json_writer.h"

namespace tenure::cli {
namespace {

struct Node {
  std::string id;
  StageKind kind = StageKind::read_jsonl;
  std::string policy;  // empty: the stage has none
  std::vector<std::string> from;
  size_t n_cells = 0;
};

std::string policy_name(const StagePlan& stage) {
  if (const auto* generate = std::get_if<GeneratePlan>(&stage.work)) return generate->policy.name;
  if (const auto* score = std::get_if<ScorePlan>(&stage.work)) return score->policy.name;
  return {};
}

// Every stage once, each after those that feed it in its cell.
std::vector<Node> nodes_of(const Plan& plan) {
  std::vector<Node> nodes;
  std::map<std::string, size_t> index;
  const auto add = [&](const StagePlan& stage, size_t n_cells) {
    const auto [it, is_new] = index.try_emplace(stage.id, nodes.size());
    if (is_new)
      nodes.push_back({.id = stage.id, .kind = stage.kind, .policy = policy_name(stage), .from = stage.from});
    nodes[it->second].n_cells += n_cells;
  };
  for (const CellPlan& cell : plan.cells) {
    for (const StagePlan& stage : cell.stages) add(stage, 1);
  }
  for (const StagePlan& stage : plan.writers) add(stage, plan.cells.size());
  return nodes;
}

// A text inside double quotes, as DOT and Mermaid take it.
std::string quoted(std::string_view text, std::string_view quote) {
  std::string out;
  for (const char c : text) {
    if (c == '"') {
      out += quote;
    } else if (c == '\\') {
      out += "\\\\";
    } else {
      out += c;
    }
  }
  return out;
}

std::vector<std::string> label_lines(const Node& node) {
  std::vector<std::string> lines = {node.id, std::string(name_of(node.kind))};
  if (!node.policy.empty()) lines[1] += ": " + node.policy;
  if (node.n_cells > 1) lines.push_back(fmt::format("{} cells", node.n_cells));
  return lines;
}

std::string label(const Node& node, std::string_view quote, std::string_view line_break) {
  std::string out;
  for (const std::string& line : label_lines(node))
    out += (out.empty() ? "" : std::string(line_break)) + quoted(line, quote);
  return out;
}

std::string dot_text(const Plan& plan, const std::vector<Node>& nodes) {
  std::string out =
      fmt::format("digraph \"{}\" {{\n  rankdir=LR;\n  node [shape=box];\n", quoted(plan.name, "\\\""));
  for (const Node& node : nodes) {
    out += fmt::format("  \"{}\" [label=\"{}\"];\n", quoted(node.id, "\\\""), label(node, "\\\"", "\\n"));
  }
  for (const Node& node : nodes) {
    for (const std::string& from : node.from) {
      out += fmt::format("  \"{}\" -> \"{}\";\n", quoted(from, "\\\""), quoted(node.id, "\\\""));
    }
  }
  return out + "}\n";
}

// Mermaid reserves words such as "end", so nodes are numbered and only labels speak.
std::string mermaid_text(const std::vector<Node>& nodes) {
  std::string out = "flowchart LR\n";
  std::map<std::string, size_t> number;
  for (const Node& node : nodes) {
    number.emplace(node.id, number.size());
    out += fmt::format("  n{}[\"{}\"]\n", number.at(node.id), label(node, "#quot;", "<br/>"));
  }
  for (const Node& node : nodes) {
    for (const std::string& from : node.from)
      out += fmt::format("  n{} --> n{}\n", number.at(from), number.at(node.id));
  }
  return out;
}

std::string json_text(const Plan& plan, const std::vector<Node>& nodes) {
  JsonWriter json;
  json.begin_object();
  json.key("name").string(plan.name);
  json.key("cells").begin_array();
  for (const CellPlan& cell : plan.cells) json.string(cell.name);
  json.end_array();
  json.key("nodes").begin_array();
  for (const Node& node : nodes) {
    json.begin_object();
    json.key("id").string(node.id);
    json.key("kind").string(name_of(node.kind));
    if (!node.policy.empty()) json.key("policy").string(node.policy);
    json.key("cells").unsigned_integer(node.n_cells);
    json.end_object();
  }
  json.end_array();
  json.key("edges").begin_array();
  for (const Node& node : nodes) {
    for (const std::string& from : node.from) {
      json.begin_object();
      json.key("from").string(from);
      json.key("to").string(node.id);
      json.end_object();
    }
  }
  json.end_array();
  json.end_object();
  return json.take() + "\n";
}

int graph(const Arguments& arguments) {
  const std::string format = arguments.get("format").value_or("dot");
  if (format != "dot" && format != "mermaid" && format != "json") {
    throw Error(Code::usage, fmt::format("--format is dot, mermaid or json, not \"{}\"", format));
  }
  const Plan plan = load_pipeline(arguments).plan;
  const std::vector<Node> nodes = nodes_of(plan);
  print(format == "dot"       ? dot_text(plan, nodes)
        : format == "mermaid" ? mermaid_text(nodes)
                              : json_text(plan, nodes));
  return exit_ok;
}

}  // namespace

Command graph_command() {
  return {.name = "graph",
          .operands = "PIPELINE",
          .min_operands = 1,
          .max_operands = 1,
          .summary = "draw a pipeline's stages",
          .help =
              "  tenure graph pipelines/first.toml | dot -Tsvg > first.svg\n  tenure graph sweep.toml "
              "--format mermaid",
          .options = pipeline_options_and(
              {{.name = "format", .argument = "dot|mermaid|json", .help = "what to print (dot)"}}),
          .run = graph};
}

}  // namespace tenure::cli
