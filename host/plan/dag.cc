#include "plan/dag.h"

#include <fmt/format.h>

#include <map>

#include "plan/resolver.h"

namespace tenure {
namespace {

constexpr size_t nowhere = SIZE_MAX;

class Dag {
 public:
  Dag(const std::vector<DagNode>& nodes, Findings& findings) : nodes_(nodes), findings_(findings) {
    for (size_t i = 0; i < nodes.size(); ++i) index_.emplace(nodes[i].id, i);
  }

  std::vector<size_t> check() {
    find_sources();
    const std::vector<size_t> order = sorted();
    report_cycles();
    check_ports();
    return order;
  }

 private:
  void find_sources() {
    std::vector<std::string> ids;
    for (const DagNode& node : nodes_) ids.push_back(node.id);
    for (const DagNode& node : nodes_) {
      auto& sources = sources_.emplace_back();
      for (const DagEdge& edge : node.edges) {
        const auto found = index_.find(edge.from);
        sources.push_back(found == index_.end() ? nowhere : found->second);
        if (found != index_.end()) continue;
        findings_.add(edge.place, Code::unknown_reference,
                      fmt::format("stage \"{}\" takes from \"{}\", which is no stage", node.id, edge.from),
                      did_you_mean(edge.from, ids));
      }
    }
  }

  std::vector<size_t> sorted() {
    std::vector<size_t> order;
    placed_.assign(nodes_.size(), false);
    for (bool moved = true; moved;) {
      moved = false;
      for (size_t i = 0; i < nodes_.size(); ++i) {
        if (placed_[i] || !ready(i)) continue;
        placed_[i] = moved = true;
        order.push_back(i);
      }
    }
    for (size_t i = 0; i < nodes_.size(); ++i) {
      if (!placed_[i]) order.push_back(i);
    }
    return order;
  }

  bool ready(size_t node) const {
    for (size_t source : sources_[node]) {
      if (source != nowhere && !placed_[source]) return false;
    }
    return true;
  }

  // From any node that could not be placed, unplaced sources lead backwards into a cycle.
  void report_cycles() {
    std::vector<bool> reported(nodes_.size(), false);
    on_cycle_.assign(nodes_.size(), false);
    for (size_t start = 0; start < nodes_.size(); ++start) {
      if (placed_[start]) continue;
      std::vector<size_t> path;
      std::vector<bool> on_path(nodes_.size(), false);
      size_t at = start;
      while (!on_path[at] && !reported[at]) {
        on_path[at] = true;
        path.push_back(at);
        at = unplaced_source(at);
      }
      for (size_t node : path) reported[node] = true;
      if (on_path[at]) report_cycle(path, at);
    }
  }

  size_t unplaced_source(size_t node) const {
    for (size_t source : sources_[node]) {
      if (source != nowhere && !placed_[source]) return source;
    }
    return node;
  }

  void report_cycle(const std::vector<size_t>& path, size_t entry) {
    std::string text = nodes_[entry].id;
    size_t i = path.size();
    do {
      --i;
      on_cycle_[path[i]] = true;
      text += " → " + nodes_[path[i]].id;
    } while (path[i] != entry);
    findings_.add(nodes_[entry].edges.front().place, Code::graph_cycle,
                  fmt::format("stages feed each other in a circle: {}", text));
  }

  void check_ports() {
    for (size_t i = 0; i < nodes_.size(); ++i) {
      for (size_t e = 0; e < sources_[i].size(); ++e) {
        const size_t source = sources_[i][e];
        if (source == nowhere || (on_cycle_[i] && on_cycle_[source])) continue;
        check_port(nodes_[source], nodes_[i], nodes_[i].edges[e].place);
      }
    }
  }

  void check_port(const DagNode& source, const DagNode& sink, const Place& place) {
    const bool takes_rows = !takes_requests(sink.kind);
    const bool compares = sink.kind == StageKind::compare;
    if (takes_rows ? gives_rows(source.kind) && !(compares && source.kind == StageKind::compare)
                   : gives_requests(source.kind))
      return;
    const std::string_view gives = source.kind == StageKind::compare ? "rows of its own kind"
                                   : gives_rows(source.kind)         ? "rows"
                                   : gives_requests(source.kind) ? "requests"
                                                                 : "nothing";
    findings_.add(
        place, Code::port_mismatch,
        fmt::format("stage \"{}\" ({}) takes {}, but stage \"{}\" ({}) gives {}", sink.id, name_of(sink.kind),
                    takes_rows ? "rows" : "requests", source.id, name_of(source.kind), gives),
        takes_rows ? "take from a generate or score stage" : "take from a read stage");
  }

  const std::vector<DagNode>& nodes_;
  Findings& findings_;
  std::map<std::string, size_t> index_;
  std::vector<std::vector<size_t>> sources_;  // of each node's edges; nowhere = dangling
  std::vector<bool> placed_;
  std::vector<bool> on_cycle_;
};

}  // namespace

bool takes_requests(StageKind kind) {
  return kind == StageKind::generate || kind == StageKind::score;
}
bool gives_rows(StageKind kind) {
  return takes_requests(kind) || kind == StageKind::compare;
}
bool gives_requests(StageKind kind) {
  return kind == StageKind::read_jsonl || kind == StageKind::read_text;
}

std::vector<size_t> check_dag(const std::vector<DagNode>& nodes, Findings& findings) {
  return Dag(nodes, findings).check();
}

}  // namespace tenure
