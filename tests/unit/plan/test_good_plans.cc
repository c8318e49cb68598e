#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "fixture.h"
#include "plan/prompt_template.h"

using namespace tenure;
using namespace tenure::test;
using namespace std::chrono_literals;

TEST_CASE("plan - the smallest pipeline gets every default of the contract") {
  const Plan plan = load(small);
  CHECK(plan.name == "exp");
  CHECK(plan.run.max_errors == 0);
  CHECK_FALSE(plan.run.max_error_share.has_value());
  CHECK(plan.run.retries == 0);
  CHECK(plan.run.time_limit == 0s);
  CHECK(plan.run.sync == SyncMode::interval);
  CHECK(plan.run.sync_interval == 1s);
  CHECK(plan.run.drain == 30s);
  REQUIRE(plan.cells.size() == 1);
  const CellPlan& cell = plan.cells[0];
  CHECK(cell.name.empty());
  CHECK(cell.axes.empty());
  CHECK(cell.model.path == "/w/m.gguf");
  CHECK(cell.model.where.line == 3);
  CHECK(cell.backend.plugin == "cpu");
  CHECK(cell.backend.threads == 0);
  REQUIRE(cell.backend.params.size() == 1);
  CHECK(to_text(cell.backend.params[0]) == "false");
  CHECK(cell.engine.batch_rows == 0);
  CHECK(cell.engine.in_flight == 0);
  CHECK(cell.engine.memory == uint64_t{4} << 30);
  CHECK(cell.engine.max_rebuild_rows == 96);
  CHECK(cell.engine.determinism == Determinism::fast);
  REQUIRE(cell.stages.size() == 2);
  CHECK(std::get<ReadPlan>(cell.stages[0].work).paths == std::vector<std::string>{"/w/p.jsonl"});
  const GeneratePlan& g = generate(cell);
  CHECK(g.max_new_tokens == 256);
  CHECK(g.temperature == 0);
  CHECK(g.seed == 0);
  CHECK(g.samples == 1);
  CHECK_FALSE(g.chat);
  CHECK_FALSE(g.ignore_eos);
  CHECK_FALSE(g.parse_special);
  CHECK(g.overflow == Overflow::error);
  CHECK(g.stop.empty());
  CHECK(g.policy.name == "full");
  CHECK(g.policy.plugin_id == "full");
  CHECK(g.policy.when.empty());
  CHECK(g.policy.budget.kind == BudgetKind::none);
}

TEST_CASE("plan - a policy's keys: pipeline over manifest over host") {
  const PolicyPlan p = generate(load(with_policy).cells[0]).policy;
  CHECK(p.name == "lo");
  CHECK(p.plugin_id == "locret");
  CHECK(p.plugin_version == "1.0");
  CHECK(p.needs.evidence == std::vector{Evidence::k_post});
  CHECK(p.budget == Budget{BudgetKind::fraction, 0, {1, 8}});
  CHECK(p.chunk == 128);                          // manifest
  CHECK(p.budget_scope == BudgetScope::layer);    // manifest
  CHECK(p.positions == PositionMode::automatic);  // manifest
  CHECK(p.n_sink == SlotShare{false, 4, {}});     // manifest
  CHECK(p.n_stabilizers == SlotShare{true, 0, {1, 4}});
  CHECK(p.n_recent == SlotShare{});  // host
  CHECK(p.budget_floor == 0.2);
  CHECK(p.budget_of == BudgetOf::end);
  CHECK(p.when == std::vector{Phase::chunk, Phase::decode});  // all that the manifest offers
  CHECK(p.period == 1);
  CHECK(p.slack == 0);
  CHECK(p.on_plugin_error == OnPluginError::fail);
  CHECK(p.k_type == Dtype::f32);  // manifest
  CHECK(p.v_type == Dtype::f16);  // host
  REQUIRE(p.params.size() == 2);
  CHECK(p.params[0].name == "weights");
  CHECK(to_text(p.params[1]) == "head");

  const PolicyPlan q =
      generate(load(with_policy +
                    "chunk = 64\nn_sink = \"1/2\"\nwhen = \"decode\"\nkv_type = \"bf16\"\n"
                    "positions = \"rank\"\nweights = \"w.gguf\"\ndecode_scoring = \"last\"\nslack = 8\n"
                    "on_plugin_error = \"full\"\n")
                   .cells[0])
          .policy;
  CHECK(q.chunk == 64);
  CHECK(q.n_sink == SlotShare{true, 0, {1, 2}});
  CHECK(q.when == std::vector{Phase::decode});
  CHECK(q.k_type == Dtype::bf16);  // a pipeline's kv_type over a manifest's k_type
  CHECK(q.v_type == Dtype::bf16);
  CHECK(q.positions == PositionMode::rank);
  CHECK(to_text(q.params[0]) == "/w/w.gguf");
  CHECK(to_text(q.params[1]) == "last");
  CHECK(q.slack == 8);
  CHECK(q.on_plugin_error == OnPluginError::full);
}

TEST_CASE("plan - every form of a budget") {
  const auto budget = [](const std::string& text) {
    return generate(load(small + "policy = \"lo\"\n[policy.lo]\nplugin = \"locret\"\nbudget = " + text + "\n")
                        .cells[0])
        .policy.budget;
  };
  CHECK(budget("512") == Budget{BudgetKind::slots, 512, {}});
  CHECK(budget("\"1/1\"") == Budget{BudgetKind::fraction, 0, {1, 1}});
  CHECK(budget("\"24 MiB\"") == Budget{BudgetKind::bytes, 24u << 20, {}});
}

TEST_CASE("plan - all sections and all keys of a stage") {
  const Plan plan = load(R"(tenure = 1
x-note = "free"
[run]
max_errors = 0.05
retries = 2
time_limit = "90 s"
sync = "record"
drain = "5s"
x-why = 3
[model]
path = "/m/model.gguf"
[backend]
plugin = "cpu"
threads = 2
pinned = true
[engine]
batch_rows = 64
in_flight = 8
memory = "512 MiB"
max_rebuild_rows = 0
determinism = "strict"
[x-anything]
a = 1
[[stage]]
id = "texts"
kind = "read_text"
path = ["a/*.txt", "${DATA}/b.txt", "${NONE:-c}.txt"]
template = "Summarise:\n{text}\n{{ok}}"
split = "4 KiB"
limit = 3
[[stage]]
id = "view"
kind = "write_jsonl"
from = ["gen", "ppl"]
path = "sub/view.jsonl"
fields = ["id", "text", "kv.peak_bytes"]
[[stage]]
id = "gen"
kind = "generate"
from = "lines"
max_new_tokens = 32
temperature = 0.7
top_k = 40
top_p = 0.9
min_p = 0.05
repeat_penalty = 1.1
stop = "END"
seed = 7
samples = 3
chat = true
ignore_eos = true
parse_special = true
overflow = "truncate_middle"
[[stage]]
id = "ppl"
kind = "score"
from = "texts"
window = 512
[[stage]]
id = "lines"
kind = "read_jsonl"
path = "-"
limit = 10
map = { id = "doc_id", prompt = "body" }
)");
  CHECK(plan.run.max_error_share == 0.05);
  CHECK(plan.run.retries == 2);
  CHECK(plan.run.time_limit == 90s);
  CHECK(plan.run.sync == SyncMode::record);
  CHECK(plan.run.drain == 5s);
  const CellPlan& cell = plan.cells.at(0);
  CHECK(cell.model.path == "/m/model.gguf");
  CHECK(cell.backend.threads == 2);
  CHECK(to_text(cell.backend.params[0]) == "true");
  CHECK(cell.engine.batch_rows == 64);
  CHECK(cell.engine.memory == 512u << 20);
  CHECK(cell.engine.max_rebuild_rows == 0);
  CHECK(cell.engine.determinism == Determinism::strict);
  // Each after what it takes from, otherwise as written; the writer apart.
  std::string order;
  for (const StagePlan& s : cell.stages) order += s.id + " ";
  CHECK(order == "texts ppl lines gen ");
  const auto& texts = std::get<ReadPlan>(stage(cell, "texts").work);
  CHECK(texts.paths == std::vector<std::string>{"/w/a/*.txt", "/w/data/b.txt", "/w/c.txt"});
  CHECK(texts.split == 4096);
  CHECK(texts.limit == 3);
  REQUIRE(texts.prompt_template.size() == 3);
  CHECK(texts.prompt_template[1].is_field);
  CHECK(texts.prompt_template[1].text == "text");
  CHECK(texts.prompt_template[2].text == "\n{ok}");
  CHECK(to_text(texts.prompt_template) == "Summarise:\n{text}\n{{ok}}");
  const auto& lines = std::get<ReadPlan>(stage(cell, "lines").work);
  CHECK(lines.paths == std::vector<std::string>{"-"});
  CHECK(lines.limit == 10);
  CHECK(lines.map == std::map<std::string, std::string>{{"id", "doc_id"}, {"prompt", "body"}});
  const GeneratePlan& g = generate(cell, "gen");
  CHECK(g.max_new_tokens == 32);
  CHECK(g.temperature == 0.7);
  CHECK(g.top_k == 40);
  CHECK(g.top_p == 0.9);
  CHECK(g.min_p == 0.05);
  CHECK(g.repeat_penalty == 1.1);
  CHECK(g.stop == std::vector<std::string>{"END"});
  CHECK(g.seed == 7);
  CHECK(g.samples == 3);
  CHECK(g.chat);
  CHECK(g.ignore_eos);
  CHECK(g.parse_special);
  CHECK(g.overflow == Overflow::truncate_middle);
  CHECK(std::get<ScorePlan>(stage(cell, "ppl").work).window == 512);
  REQUIRE(plan.writers.size() == 1);
  CHECK(plan.writers[0].from == std::vector<std::string>{"gen", "ppl"});
  const auto& view = std::get<WritePlan>(plan.writers[0].work);
  CHECK(view.path == "sub/view.jsonl");
  CHECK(view.fields.size() == 3);
}

TEST_CASE("plan - a byte order mark and CRLF change nothing") {
  std::string crlf = "\xEF\xBB\xBF";
  for (char c : small) crlf += c == '\n' ? std::string("\r\n") : std::string(1, c);
  CHECK(load(crlf).cells[0].model.path == "/w/m.gguf");
}

TEST_CASE("plan - relative paths are relative to the naming file, a plugin's path too") {
  const auto folder = std::filesystem::temp_directory_path() / "tenure_plan_test";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "first.toml")
      << small << "policy = \"x\"\n[policy.x]\nplugin = \"../lib/liblocret.so\"\nbudget = 1\n";
  const Plan plan = load_plan(folder / "first.toml", options());
  CHECK(plan.file == (folder / "first.toml").string());
  CHECK(plan.name == "first");
  CHECK(plan.cells[0].model.path == (folder / "m.gguf").string());
  CHECK(generate(plan.cells[0]).policy.plugin == (folder.parent_path() / "lib/liblocret.so").string());
  CHECK(generate(plan.cells[0]).policy.plugin_id == "locret");
  std::filesystem::remove_all(folder);
}

TEST_CASE("plan - --set: TOML values, plain strings, new keys, precedence over the file") {
  PlanOptions o = options();
  o.set = {"policy.lo.budget=1/4",
           "policy.lo.chunk=32",
           "engine.memory = \"1 GiB\"",
           "stage.prompts.path=q.jsonl",
           "stage.prompts.map.id=\"doc\"",
           "stage.out.stop=[\"a\", \"b\"]",
           "run.retries=1",
           "backend.plugin=cpu",
           "policy.lo.on_plugin_error=full"};
  const Plan plan = load(with_policy, o);
  CHECK(generate(plan.cells[0]).policy.budget == Budget{BudgetKind::fraction, 0, {1, 4}});
  CHECK(generate(plan.cells[0]).policy.chunk == 32);
  CHECK(generate(plan.cells[0]).stop == std::vector<std::string>{"a", "b"});
  CHECK(plan.cells[0].engine.memory == uint64_t{1} << 30);
  CHECK(plan.run.retries == 1);
  const auto& read = std::get<ReadPlan>(plan.cells[0].stages[0].work);
  // --set is said on the command line, so its paths are relative to the working directory.
  CHECK(read.paths[0] == (std::filesystem::current_path() / "q.jsonl").string());
  CHECK(read.map.at("id") == "doc");
}

TEST_CASE("plan - --limit is the smaller of the two") {
  PlanOptions o = options();
  o.limit = 5;
  CHECK(std::get<ReadPlan>(load(small, o).cells[0].stages[0].work).limit == 5);
  o.set = {"stage.prompts.limit=3"};
  CHECK(std::get<ReadPlan>(load(small, o).cells[0].stages[0].work).limit == 3);
}

TEST_CASE("plan - variables: found, defaulted, escaped, never in keys") {
  const Plan plan =
      load(small + "stop = [\"${DATA}-x\", \"${NONE:-}y\", \"$${DATA}\", \"$DATA\", \"${open\"]\n");
  CHECK(generate(plan.cells[0]).stop ==
        std::vector<std::string>{"data-x", "y", "${DATA}", "$DATA", "${open"});
}
