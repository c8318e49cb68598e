#include "eval/eval_report.h"
#include "record/json_writer.h"
#include "tensor/dtype.h"

namespace tenure {
namespace {

constexpr int64_t schema = 1;

void write_estimate(JsonWriter& json, const char* key, const Estimate& estimate) {
  json.key(key).begin_object();
  json.key("mean").number(estimate.mean);
  json.key("ci95").begin_array();
  json.number(estimate.low);
  json.number(estimate.high);
  json.end_array();
  json.key("n").unsigned_integer(estimate.n);
  json.end_object();
}

void write_instrument(JsonWriter& json, const EvalReport& report, const LineScores& line,
                      Instrument instrument) {
  const InstrumentEstimates found = estimate(line, instrument, report.seed);
  if (found.accuracy.n == 0) return;
  json.key(name_of(instrument)).begin_object();
  json.key("informative").boolean(is_informative(report.scores.front(), instrument));
  write_estimate(json, "exact", found.exact);
  write_estimate(json, "accuracy", found.accuracy);
  write_estimate(json, "logprob", found.logprob);
  if (instrument == Instrument::continuation) {
    write_estimate(json, "kl", found.kl);
    write_estimate(json, "top1", found.agreement);
    write_estimate(json, "perplexity", found.perplexity);
  }
  json.end_object();
}

void write_estimates(JsonWriter& json, const EvalReport& report, const LineScores& line) {
  json.key("instruments").begin_object();
  for (const Instrument instrument : retrieval_instruments) write_instrument(json, report, line, instrument);
  write_instrument(json, report, line, Instrument::continuation);
  json.end_object();
}

void write_question(JsonWriter& json, const QuestionScore& question) {
  json.begin_object();
  json.key("instrument").string(name_of(question.instrument));
  json.key("pos").unsigned_integer(question.pos);
  json.key("tokens").unsigned_integer(question.n_tokens);
  json.key("correct").unsigned_integer(question.n_correct);
  json.key("logprob").number(question.logprob);
  if (question.kl) json.key("kl").number(*question.kl);
  if (question.agreement) json.key("top1").number(*question.agreement);
  json.end_object();
}

void write_document(JsonWriter& json, const std::string& id, const DocumentScores& scores) {
  json.begin_object();
  json.key("id").string(id);
  if (scores.error) {
    json.key("error").begin_object();
    json.key("code").string(to_string(scores.error->code));
    json.key("message").string(scores.error->message);
    json.end_object();
  } else {
    json.key("kv_end_bytes").unsigned_integer(scores.end_bytes);
    json.key("kv_peak_bytes").unsigned_integer(scores.peak_bytes);
    json.key("policy_ms").number(scores.policy_ms);
    json.key("questions").begin_array();
    for (const QuestionScore& question : scores.questions) write_question(json, question);
    json.end_array();
  }
  json.end_object();
}

void write_retrieval(JsonWriter& json, const RetrievalEstimates& found) {
  if (found.accuracy.n == 0) return;
  json.key("retrieval").begin_object();
  write_estimate(json, "accuracy", found.accuracy);
  write_estimate(json, "of_full", found.of_full);
  json.end_object();
}

void write_costs(JsonWriter& json, const LineCosts& costs, const LineCosts& full) {
  json.key("kv_end_of_full").number(full.end_bytes > 0 ? costs.end_bytes / full.end_bytes : 0);
  json.key("kv_peak_of_full").number(full.peak_bytes > 0 ? costs.peak_bytes / full.peak_bytes : 0);
  json.key("policy_ms").number(costs.policy_ms);
}

void write_line(JsonWriter& json, const EvalReport& report, size_t i) {
  const EvalLine& line = report.lines[i];
  json.begin_object();
  json.key("policy").string(line.policy);
  json.key("budget").string(line.budget);
  json.key("chunk").unsigned_integer(line.settings.chunk);
  json.key("k_type").string(info(line.settings.k_type).name);
  json.key("v_type").string(info(line.settings.v_type).name);
  write_estimates(json, report, report.scores[i]);
  write_retrieval(json, estimate_retrieval(report, i));
  write_costs(json, costs_of(report.scores[i]), costs_of(report.scores.front()));
  json.key("documents").begin_array();
  for (size_t d = 0; d < report.documents.size(); ++d) {
    write_document(json, report.documents[d].id, report.scores[i].documents[d]);
  }
  json.end_array();
  json.end_object();
}

}  // namespace

std::string eval_json(const EvalReport& report) {
  JsonWriter json;
  json.begin_object();
  json.key("schema").integer(schema);
  json.key("model").begin_object();
  json.key("file").string(report.model_file);
  json.key("name").string(report.model_name);
  json.end_object();
  json.key("backend").begin_object();
  json.key("id").string(report.backend);
  json.key("code_path").string(report.code_path);
  json.end_object();
  json.key("text").begin_array();
  for (const std::string& file : report.text_files) json.string(file);
  json.end_array();
  json.key("seed").unsigned_integer(report.seed);
  json.key("context").unsigned_integer(report.context);
  json.key("documents").begin_array();
  for (const Document& document : report.documents) {
    json.begin_object();
    json.key("id").string(document.id);
    json.key("key").string(std::to_string(document.key));  // 64 bits do not fit a JSON number
    json.end_object();
  }
  json.end_array();
  json.key("floors").begin_object();
  for (const Instrument instrument : retrieval_instruments)
    json.key(name_of(instrument)).number(accuracy_floor(instrument));
  json.end_object();
  json.key("lines").begin_array();
  for (size_t i = 0; i < report.lines.size(); ++i) write_line(json, report, i);
  json.end_array();
  json.end_object();
  return json.take() + "\n";
}

}  // namespace tenure
