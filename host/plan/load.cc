#include "plan/load.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <system_error>

#include "plan/alerts.h"
#include "plan/compare.h"
#include "plan/environment.h"
#include "plan/gates.h"
#include "plan/matrix.h"
#include "plan/resolver.h"

namespace tenure {
namespace {

using Kind = TomlValue::Kind;

const PolicyPlan* policy_of(const StagePlan& stage) {
  if (const auto* generate = std::get_if<GeneratePlan>(&stage.work)) return &generate->policy;
  if (const auto* score = std::get_if<ScorePlan>(&stage.work)) return &score->policy;
  return nullptr;
}

// Ids of the stages whose resolved inputs one of the addresses reaches.
std::set<std::string> touched_stages(const std::vector<StagePlan>& stages, const std::vector<Address>& axes) {
  std::set<std::string> touched;
  for (const StagePlan& stage : stages) {  // in topological order
    const PolicyPlan* policy = policy_of(stage);
    const auto reaches = [&](const Address& a) {
      if (a.is_section("stage")) return a.parts[1] == stage.id;
      if (a.is_section("policy")) return policy && a.parts[1] == policy->name;
      return takes_requests(stage.kind);  // model, backend, engine
    };
    const bool direct = std::any_of(axes.begin(), axes.end(), reaches);
    const bool upstream = std::any_of(stage.from.begin(), stage.from.end(),
                                      [&](const std::string& id) { return touched.contains(id); });
    if (direct || upstream) touched.insert(stage.id);
  }
  return touched;
}

// The stages of `wanted` ids and the readers that feed them, in order. What a compare stage takes from runs in this
// cell or in the shared one.
std::vector<StagePlan> with_readers(const std::vector<StagePlan>& stages,
                                    const std::set<std::string>& wanted) {
  std::set<std::string> needed = wanted;
  for (const StagePlan& stage : stages) {
    if (wanted.contains(stage.id) && takes_requests(stage.kind)) needed.insert(stage.from.begin(), stage.from.end());
  }
  std::vector<StagePlan> out;
  for (const StagePlan& stage : stages) {
    if (needed.contains(stage.id)) out.push_back(stage);
  }
  return out;
}

class PlanReader {
 public:
  PlanReader(TomlValue& root, const PlanOptions& options)
      : root_(root), options_(options), context_{findings_, lookup_, options.limit} {
    lookup_ = [this](std::string_view plugin, PluginKind kind) { return manifest_of(plugin, kind); };
  }

  Plan read() {
    apply_overrides();
    findings_.throw_if_any();
    substitute_variables(root_, options_.environment);
    check_top();
    plan_.run = read_run(root_, findings_);
    const std::vector<MatrixCell> cells = expand_matrix(root_, overrides_, findings_);
    if (cells.empty()) {
      resolve_cell(MatrixCell{});  // the matrix is wrong; show what else is
      findings_.throw_if_any();
    }
    for (const MatrixCell& cell : cells) {
      if (!findings_.full()) resolve_cell(cell);
    }
    const GateScope scope = gate_scope(cells);
    plan_.gates = read_gates(root_, scope, findings_);
    plan_.alerts = read_alerts(root_, scope, findings_);
    findings_.throw_if_any();
    arrange(cells);
    findings_.throw_if_any();
    return std::move(plan_);
  }

 private:
  void apply_overrides() {
    for (const std::string& argument : options_.set) {
      if (auto override = read_override(root_, argument, findings_))
        overrides_.push_back(std::move(*override));
    }
    for (const Override& o : overrides_) assign(root_, o.address, o.value.place, o.value);
  }

  void check_top() {
    TableReader top(root_, "the pipeline", findings_);
    top.require("tenure", "1, the version of the schema");
    top.integer("tenure", 1, 1);
    static const std::vector<std::string> sections = {"tenure", "run",   "model", "backend", "engine",
                                                      "policy", "stage", "gate",  "alert",  "matrix"};
    for (const TomlMember& member : root_.members) {
      if (member.key.starts_with("x-") || findings_.full()) continue;
      if (std::find(sections.begin(), sections.end(), member.key) != sections.end()) continue;
      const std::string hint = did_you_mean(member.key, sections);
      const std::string help = fmt::format("{}{}(sections: {})", hint, hint.empty() ? "" : "  ",
                                           joined({sections.begin() + 1, sections.end()}));
      const bool is_section = member.value.is(Kind::table) || member.value.is(Kind::array);
      findings_.add(member.key_place, is_section ? Code::unknown_section : Code::unknown_key,
                    is_section ? fmt::format("unknown section [{}]", member.key)
                               : fmt::format("unknown key \"{}\" outside a section", member.key),
                    help);
    }
  }

  // Asked once for each plugin, not once for each cell.
  const PluginManifest* manifest_of(std::string_view plugin, PluginKind kind) {
    const auto [entry, is_new] = manifests_.try_emplace({std::string(plugin), kind}, nullptr);
    if (is_new && options_.manifests) {
      try {
        entry->second = options_.manifests(plugin, kind);
      } catch (const Error&) {
        manifests_.erase(entry);
        throw;
      }
    }
    return entry->second;
  }

  void resolve_cell(const MatrixCell& cell) {
    TomlValue edited;
    const TomlValue* tree = &root_;
    if (!cell.edits.empty()) {
      for (const TomlMember& member : root_.members) {
        if (member.key != "matrix" && member.key != "gate" && member.key != "alert") edited.members.push_back(member);
      }
      edited.place = root_.place;
      for (const auto& [key, edit] : cell.edits) assign(edited, edit.address, edit.key_place, edit.value);
      tree = &edited;
    }
    CellPlan plan;
    plan.name = cell.name();
    for (const auto& [key, edit] : cell.edits) plan.axes.emplace(key, value_text(edit.value));
    plan.model = read_model(*tree, findings_);
    plan.backend = read_backend(*tree, context_);
    plan.engine = read_engine(*tree, findings_);
    plan.stages = read_stages(*tree, read_policies(*tree, context_), context_);
    plan_.cells.push_back(std::move(plan));
  }

  GateScope gate_scope(const std::vector<MatrixCell>& cells) const {
    GateScope scope;
    for (const StagePlan& stage : plan_.cells.front().stages) {
      scope.stages.emplace(stage.id, stage.kind);
      if (stage.kind == StageKind::compare) scope.compared.emplace(stage.id, compared_names(stage));
    }
    for (const MatrixCell& cell : cells) {
      for (const auto& [key, edit] : cell.edits) scope.axes[key].insert(value_text(edit.value));
    }
    return scope;
  }

  // Takes the writers out and splits what no axis touches from the cells.
  void arrange(const std::vector<MatrixCell>& cells) {
    const std::vector<StagePlan> all = plan_.cells.front().stages;
    std::map<std::string, const CellEdit*> edits;
    for (const MatrixCell& cell : cells) {
      for (const auto& [key, edit] : cell.edits) edits.emplace(key, &edit);
    }
    std::vector<Address> axes;
    for (const auto& [key, edit] : edits) axes.push_back(edit->address);
    const std::set<std::string> touched = touched_stages(all, axes);
    check_axes(all, edits);
    check_references(all, touched, findings_);

    std::set<std::string> shared, varied;
    for (const StagePlan& stage : all) {
      if (stage.kind == StageKind::write_jsonl) plan_.writers.push_back(stage);
      if (gives_rows(stage.kind)) (touched.contains(stage.id) ? varied : shared).insert(stage.id);
    }
    std::vector<CellPlan> arranged;
    if (!shared.empty()) {
      CellPlan first = plan_.cells.front();
      first.name.clear();
      first.axes.clear();
      first.stages = with_readers(all, shared);
      arranged.push_back(std::move(first));
    }
    for (CellPlan& cell : plan_.cells) {
      if (varied.empty()) break;
      cell.stages = with_readers(cell.stages, varied);
      arranged.push_back(std::move(cell));
    }
    plan_.cells = std::move(arranged);
  }

  void check_axes(const std::vector<StagePlan>& all, const std::map<std::string, const CellEdit*>& edits) {
    for (const auto& entry : edits) {
      const CellEdit& edit = *entry.second;
      const std::set<std::string> reached = touched_stages(all, {edit.address});
      const auto runs = [&](const StagePlan& s) { return gives_rows(s.kind) && reached.contains(s.id); };
      const auto writes = [&](const StagePlan& s) {
        return s.kind == StageKind::write_jsonl && edit.address.is_section("stage") &&
               edit.address.parts[1] == s.id;
      };
      if (std::any_of(all.begin(), all.end(), writes)) {
        findings_.add(edit.key_place, Code::matrix_bad_key,
                      fmt::format("\"{}\" is of a write_jsonl stage, which writes one file for all cells",
                                  entry.first));
      } else if (std::none_of(all.begin(), all.end(), runs) && !varies_by_stage(edits, edit)) {
        findings_.add(
            edit.key_place, Code::matrix_bad_key,
            fmt::format("axis \"{}\" changes nothing that a stage with rows uses", entry.first));
      }
    }
  }

  // A policy that no stage of the first cell uses may be one that another axis puts there.
  static bool varies_by_stage(const std::map<std::string, const CellEdit*>& edits,
                              const CellEdit& policy_edit) {
    if (!policy_edit.address.is_section("policy")) return false;
    return std::any_of(edits.begin(), edits.end(), [](const auto& e) {
      const Address& a = e.second->address;
      return a.is_section("stage") && a.parts.back() == "policy";
    });
  }

  TomlValue& root_;
  const PlanOptions& options_;
  Findings findings_;
  std::map<std::pair<std::string, PluginKind>, const PluginManifest*> manifests_;
  ManifestLookup lookup_;
  ResolveContext context_;
  std::vector<Override> overrides_;
  Plan plan_;
};

}  // namespace

Plan load_plan(const std::filesystem::path& file, const PlanOptions& options) {
  std::error_code ignored;
  TomlDocument document = read_toml_file(file);
  Plan plan = PlanReader(document.root, options).read();
  plan.file = std::filesystem::absolute(file, ignored).lexically_normal().string();
  plan.name = file.stem().string();
  return plan;
}

Plan parse_plan(std::string text, std::string name, const std::filesystem::path& folder,
                const PlanOptions& options) {
  TomlDocument document = parse_toml(std::move(text), name, folder);
  Plan plan = PlanReader(document.root, options).read();
  plan.name = std::filesystem::path(name).stem().string();
  return plan;
}

std::string toml_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

}  // namespace tenure
