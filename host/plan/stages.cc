// [[stage]]: each kind's keys, and the graph they make.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>

#include "plan/compare.h"
#include "plan/dag.h"
#include "plan/metrics.h"
#include "plan/prompt_template.h"
#include "plan/resolver.h"

namespace tenure {
namespace {

using Kind = TomlValue::Kind;

const std::vector<std::string>& request_fields() {
  static const std::vector<std::string> names = {"id",       "prompt", "messages",     "tokens",
                                                 "segments", "answer", "continuation", "max_new_tokens",
                                                 "seed",     "stop",   "samples",      "metadata"};
  return names;
}

void read_template(TableReader& table, ReadPlan& read) {
  const auto text = table.text("template");
  if (!text) return;
  std::string why;
  if (auto parts = parse_prompt_template(*text, why)) {
    read.prompt_template = std::move(*parts);
  } else {
    table.findings().add(table.take("template")->value.place, Code::bad_value,
                         fmt::format("\"template\" in {} has {}", table.title(), why));
  }
}

void read_paths(TableReader& table, ReadPlan& read, bool may_be_stdin) {
  const TomlMember* member = table.require("path", "a file, a glob or a list of them");
  const auto paths = table.texts("path");
  if (!paths) return;
  if (paths->empty()) table.out_of_range(*member, "an empty list", "at least one file");
  for (const std::string& path : *paths) {
    const bool is_stdin = path == "-";
    if (is_stdin && (!may_be_stdin || paths->size() > 1)) {
      table.findings().add(
          member->value.place, Code::unsupported_combination,
          fmt::format("{}: \"-\" (standard input) {}", table.title(),
                      may_be_stdin ? "cannot be one of several files" : "is for read_jsonl only"));
    }
    read.paths.push_back(is_stdin ? path : absolute_path(member->value.place, path));
  }
}

void read_map(TableReader& table, ReadPlan& read) {
  const TomlMember* member = table.take("map");
  if (!member) return;
  if (!member->value.is(Kind::table)) {
    table.wrong_type(*member, "a table such as {id = \"doc_id\"}");
    return;
  }
  TableReader map(member->value, "`map` of " + table.title(), table.findings());
  for (const std::string& field : request_fields()) {
    if (const auto from = map.text(field)) read.map.emplace(field, *from);
  }
  map.finish("fields of a request: " + joined(request_fields()));
}

void read_split(TableReader& table, ReadPlan& read) {
  const TomlMember* member = table.take("split");
  read.split = table.size("split");
  if (read.split && *read.split == 0) table.out_of_range(*member, "0", "a size such as \"4 KiB\"");
}

ReadPlan read_source(TableReader& table, StageKind kind, const ResolveContext& context) {
  ReadPlan read;
  const bool is_jsonl = kind == StageKind::read_jsonl;
  read_paths(table, read, is_jsonl);
  if (const auto v = table.integer("limit", 1, std::numeric_limits<int64_t>::max())) {
    read.limit = static_cast<uint64_t>(*v);
  }
  if (is_jsonl) read_map(table, read);
  if (!is_jsonl) read_split(table, read);
  read_template(table, read);
  if (context.limit) read.limit = std::min(*context.limit, read.limit.value_or(*context.limit));
  return read;
}

PolicyPlan policy_of(TableReader& table, const std::map<std::string, PolicyPlan>& policies) {
  const TomlMember* member = table.take("policy");
  const std::string name = member ? table.text("policy").value_or("") : std::string(default_policy);
  const auto found = policies.find(name);
  if (found != policies.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& entry : policies) names.push_back(entry.first);
  if (member && !name.empty()) {
    const std::string hint = did_you_mean(name, names);
    table.findings().add(
        member->value.place, Code::unknown_reference,
        fmt::format("{} names policy \"{}\", but there is no [policy.{}]", table.title(), name, name),
        fmt::format("{}{}(policies: {})", hint, hint.empty() ? "" : "  ",
                    names.empty() ? "none" : joined(names)));
  }
  return {};
}

GeneratePlan read_generate(TableReader& table, const std::map<std::string, PolicyPlan>& policies) {
  constexpr uint32_t most_tokens = 10'000'000;
  GeneratePlan g;
  g.policy = policy_of(table, policies);
  if (const auto v = table.count("max_new_tokens", 0, most_tokens)) g.max_new_tokens = *v;
  if (const auto v = table.number("temperature", 0, 100)) g.temperature = *v;
  if (const auto v = table.count("top_k", 0, most_tokens)) g.top_k = *v;
  if (const auto v = table.number("top_p", 0, 1)) g.top_p = *v;
  if (const auto v = table.number("min_p", 0, 1)) g.min_p = *v;
  if (const auto v = table.number("repeat_penalty", 0.01, 100)) g.repeat_penalty = *v;
  if (auto v = table.texts("stop")) g.stop = std::move(*v);
  if (const auto v = table.integer("seed", 0, std::numeric_limits<int64_t>::max()))
    g.seed = static_cast<uint64_t>(*v);
  if (const auto v = table.count("samples", 1, 1'000'000)) g.samples = *v;
  if (const auto v = table.boolean("chat")) g.chat = *v;
  if (const auto v = table.boolean("ignore_eos")) g.ignore_eos = *v;
  if (const auto v = table.boolean("parse_special")) g.parse_special = *v;
  if (const auto v = table.choice<Overflow>("overflow")) g.overflow = *v;
  return g;
}

ScorePlan read_score(TableReader& table, const std::map<std::string, PolicyPlan>& policies) {
  ScorePlan score;
  score.policy = policy_of(table, policies);
  if (const auto v = table.count("window", 2, 10'000'000)) score.window = *v;
  return score;
}

// The file is the run directory's own business, or would leave it.
bool is_refused_output(const std::filesystem::path& path) {
  static const std::set<std::string> taken = {"manifest.json", "requests.jsonl", "results.jsonl",
                                              "events.jsonl",  "progress.json",  "metrics.prom",
                                              "summary.json",  "report.html",    "DONE"};
  const std::filesystem::path clean = path.lexically_normal();
  return path.is_absolute() || clean.empty() || *clean.begin() == ".." || *clean.begin() == "logits" || !clean.has_filename() ||
         clean == "." || taken.contains(clean.string());
}

WritePlan read_write(TableReader& table) {
  WritePlan write;
  const TomlMember* path = table.require("path", "a file in the run directory");
  if (const auto v = table.text("path")) {
    write.path = std::filesystem::path(*v).lexically_normal().string();
    if (is_refused_output(*v)) {
      table.bad_value(*path, "a file name inside the run directory that Tenure does not write itself");
    }
  }
  if (const auto v = table.choice<RowFormat>("format")) write.format = *v;
  const TomlMember* fields = table.take("fields");
  if (auto v = table.texts("fields")) write.fields = std::move(*v);
  for (const std::string& field : write.fields) {
    const auto& names = row_field_names();
    if (std::find(names.begin(), names.end(), field) != names.end()) continue;
    table.findings().add(fields->value.place, Code::bad_value,
                         fmt::format("\"{}\" in \"fields\" of {} is no field of a row", field, table.title()),
                         metric_hint(field, names));
  }
  if (fields && write.format == RowFormat::openai) {
    table.findings().add(
        fields->key_place, Code::unsupported_combination,
        fmt::format("{}: \"fields\" and format \"openai\" exclude each other", table.title()));
  }
  return write;
}

class StagesReader {
 public:
  StagesReader(const std::map<std::string, PolicyPlan>& policies, const ResolveContext& context)
      : policies_(policies), context_(context) {}

  std::vector<StagePlan> read(const TomlValue& root) {
    const TomlMember* section = root.find("stage");
    if (section && !section->value.is(Kind::array)) {
      context_.findings.add(section->value.place, Code::wrong_type, "\"stage\" is no list of stages",
                            "write [[stage]]");
      return {};
    }
    if (section) {
      for (const TomlValue& item : section->value.items) read_stage(item);
    }
    if (!runs_something_ && !kind_was_wrong_) {
      context_.findings.add(section ? section->value.items.front().place : root.place, Code::missing_key,
                            "no [[stage]] of kind generate or score, so nothing would run");
    }
    check_compared_kinds(stages_, nodes_, context_.findings);
    std::vector<StagePlan> ordered;
    for (size_t i : check_dag(nodes_, context_.findings)) ordered.push_back(std::move(stages_[i]));
    return ordered;
  }

 private:
  void read_stage(const TomlValue& item) {
    if (!item.is(Kind::table)) {
      context_.findings.add(item.place, Code::wrong_type,
                            "\"stage\" holds something else than [[stage]] tables");
      return;
    }
    const TomlMember* id = item.find("id");
    const bool has_id = id && id->value.is(Kind::string);
    TableReader table(item, has_id ? fmt::format("stage \"{}\"", id->value.string) : "[[stage]]",
                      context_.findings, NoteKeys::allowed);
    table.require("id", "the stage's name");
    StagePlan stage;
    stage.id = table.text("id").value_or("");
    if (id) check_id(*id, table);
    stage.where = position_of(id ? id->value.place : item.place);
    table.require("kind", "read_jsonl, read_text, generate, score, compare or write_jsonl");
    const auto kind = table.choice<StageKind>("kind");
    if (!kind) {
      kind_was_wrong_ = true;
      return;
    }
    stage.kind = *kind;
    runs_something_ |= takes_requests(*kind);
    DagNode node{stage.id, stage.kind, {}};
    if (!gives_requests(*kind)) read_from(table, stage, node);
    read_work(table, stage);
    table.finish();
    if (stage.id.empty() || !ids_.insert(stage.id).second) return;
    stages_.push_back(std::move(stage));
    nodes_.push_back(std::move(node));
  }

  void check_id(const TomlMember& id, TableReader& table) {
    if (!id.value.is(Kind::string) || id.value.string.empty()) return;
    constexpr std::string_view allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    if (id.value.string.find_first_not_of(allowed) != std::string::npos) {
      table.bad_value(id, "letters, digits, _ and -");
    } else if (ids_.contains(id.value.string)) {
      context_.findings.add(id.value.place, Code::duplicate_id,
                            fmt::format("two stages named \"{}\"", id.value.string));
    }
  }

  void read_from(TableReader& table, StagePlan& stage, DagNode& node) {
    const TomlMember* member = table.require("from", "the id of the stage it takes from");
    const auto from = table.texts("from");
    if (!from) return;
    if (from->empty()) table.out_of_range(*member, "an empty list", "the id of a stage");
    if (stage.kind == StageKind::compare) check_compare_from(*member, *from, table);
    if (takes_requests(stage.kind) && from->size() > 1) {
      table.out_of_range(*member, fmt::format("a list of {}", from->size()),
                         "one stage; list several files in its `path`");
      return;
    }
    for (size_t i = 0; i < from->size(); ++i) {
      const bool is_list = member->value.is(Kind::array);
      node.edges.push_back({(*from)[i], is_list ? member->value.items[i].place : member->value.place});
      stage.from.push_back((*from)[i]);
    }
  }

  void read_work(TableReader& table, StagePlan& stage) {
    switch (stage.kind) {
      case StageKind::read_jsonl:
      case StageKind::read_text:
        stage.work = read_source(table, stage.kind, context_);
        check_stdin(std::get<ReadPlan>(stage.work), table);
        break;
      case StageKind::generate:
        stage.work = read_generate(table, policies_);
        break;
      case StageKind::score:
        stage.work = read_score(table, policies_);
        break;
      case StageKind::compare:
        stage.work = read_compare(table);
        break;
      case StageKind::write_jsonl:
        stage.work = read_write(table);
        check_output(std::get<WritePlan>(stage.work), table);
        break;
    }
  }

  void check_stdin(const ReadPlan& read, TableReader& table) {
    if (std::find(read.paths.begin(), read.paths.end(), "-") == read.paths.end()) return;
    if (stdin_is_read_) {
      context_.findings.add(
          table.take("path")->value.place, Code::unsupported_combination,
          fmt::format("{}: standard input is read by another stage already", table.title()));
    }
    stdin_is_read_ = true;
  }

  void check_output(const WritePlan& write, TableReader& table) {
    if (write.path.empty() || outputs_.insert(write.path).second) return;
    context_.findings.add(table.take("path")->value.place, Code::duplicate_id,
                          fmt::format("{}: another stage writes \"{}\" already", table.title(), write.path));
  }

  const std::map<std::string, PolicyPlan>& policies_;
  const ResolveContext& context_;
  std::vector<StagePlan> stages_;
  std::vector<DagNode> nodes_;  // same order
  std::set<std::string> ids_;
  std::set<std::string> outputs_;
  bool stdin_is_read_ = false;
  bool runs_something_ = false;
  bool kind_was_wrong_ = false;
};

}  // namespace

std::vector<StagePlan> read_stages(const TomlValue& root, const std::map<std::string, PolicyPlan>& policies,
                                   const ResolveContext& context) {
  return StagesReader(policies, context).read(root);
}

}  // namespace tenure
