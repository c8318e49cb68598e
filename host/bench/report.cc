#include "bench/report.h"

#include <fmt/format.h>

#include <cmath>

#include "record/json_writer.h"

namespace tenure {
namespace {

constexpr double mib = 1048576.0;

double as_double(uint64_t n) {
  return static_cast<double>(n);
}

// ---- text ----

std::string types_text(const BenchReport& report) {
  uint64_t total = 0;
  for (const auto& [type, bytes] : report.bytes_by_type) total += bytes;
  std::string text;
  for (const auto& [type, bytes] : report.bytes_by_type) {
    text += fmt::format("{}{} {:.1f} %", text.empty() ? "" : ", ", info(type).name,
                        100 * as_double(bytes) / as_double(total));
  }
  return text;
}

std::string bandwidth_text(const Bandwidth& bandwidth) {
  return fmt::format("{:.1f} and {:.1f} GB/s", bandwidth.one_thread, bandwidth.all_threads);
}

std::string heading(const BenchReport& report) {
  std::string features;
  for (const std::string& feature : report.processor.features) features += " " + feature;
  std::string text = fmt::format("machine   {}, {} CPUs:{}\n", report.processor.name, report.processor.n_cpus,
                                 features.empty() ? " no vector extensions known here" : features);
  text += fmt::format("backend   {} ({}), code path {}, {} threads, KV {}\n", report.backend, report.device,
                      report.code_path, report.threads, report.kv_type);
  text += fmt::format("model     {} ({}), {:.1f} MiB packed; in the file {}\n", report.model_file,
                      report.model_name.empty() ? report.architecture : report.model_name,
                      as_double(report.weights_bytes) / mib, types_text(report));
  text += fmt::format("loading   {:.2f} s\n", report.load_seconds);
  return text + fmt::format("probe     read by one thread and by {}: {} before, {} after\n", report.threads,
                            bandwidth_text(report.before), bandwidth_text(report.after));
}

std::string spread_text(const Spread& spread) {
  const int digits = spread.median < 1000 ? 1 : 0;
  return fmt::format("{:.{}f} [{:.{}f}–{:.{}f}]", spread.median, digits, spread.p10, digits, spread.p90,
                     digits);
}

std::string share_text(double gbps, double probe) {
  return probe > 0 ? fmt::format("{:.0f} %", 100 * gbps / probe) : "-";
}

std::string policy_text(const DecodeReport& decode) {
  return fmt::format("{:.3f}, {:.1f} %", decode.policy_ms.median, 100 * decode.policy_share());
}

// Widths count bytes, and the dash of a range has three.
std::string padded(const std::string& text, size_t width) {
  size_t n = 0;
  for (const char c : text) n += (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;
  return std::string(n < width ? width - n : 0, ' ') + text;
}

std::string workloads_text(const BenchReport& report) {
  std::string text = fmt::format(
      "\n{:<16} {:>7} {:>7} {:>5} {:>5} {:>25} {:>7} {:>23} {:>14} {:>9} {:>6} {:>8} {:>7} {:>8} {:>8} {:>6}\n", "policy",
      "budget", "prompt", "gen", "seqs", "prefill t/s [p10-p90]", "GOP/s", "decode t/s [p10-p90]", "policy ms/step", "MB/token",
      "GB/s", "of probe", "at once", "KV MiB", "RSS MiB", "others");
  for (const WorkloadReport& w : report.workloads) {
    text += fmt::format("{:<16} {:>7} {:>7} {:>5} {:>5}", w.policy, w.budget.empty() ? "-" : w.budget,
                        w.prompt, w.generate, w.sequences);
    text += fmt::format(" {} {:>7}", padded(w.prefill ? spread_text(w.prefill->tps) : "-", 25),
                        w.prefill ? fmt::format("{:.0f}", w.prefill->gops) : "-");
    text += " " + padded(w.decode ? spread_text(w.decode->tps) : "-", 23);
    text += fmt::format(" {:>14}", w.decode ? policy_text(*w.decode) : "-");
    const double bytes = w.decode ? w.decode->weight_bytes_per_token + w.decode->kv_bytes_per_token : 0;
    text += w.decode ? fmt::format(" {:>9.1f} {:>6.1f} {:>8}", bytes / 1e6, w.decode->gbps(),
                                   share_text(w.decode->gbps(), report.probe_gbps()))
                     : fmt::format(" {:>9} {:>6} {:>8}", "-", "-", "-");
    text += fmt::format(
        " {:>7} {:>8.1f} {:>8} {:>6}\n", w.n_at_once, as_double(w.kv_peak_bytes) / mib,
        w.peak_resident_bytes ? fmt::format("{:.0f}", as_double(*w.peak_resident_bytes) / mib) : "-",
        w.other_cpu ? fmt::format("{:.0f} %", 100 * *w.other_cpu) : "-");
  }
  return text;
}

std::string shape_text(const PassShape& shape) {
  return shape.decode ? fmt::format("decode, {} slots", shape.n_slots)
                      : fmt::format("prefill, {} rows", shape.n_rows);
}

std::string pass_text(const PassTimes& pass, double probe) {
  double total = 0;
  for (const OpTime& op : pass.ops) total += op.seconds;
  std::string text = fmt::format("\n{:<20} {:>10} {:>8} {:>8} {:>8} {:>9}\n", shape_text(pass.shape), "ms",
                                 "of pass", "GOP/s", "GB/s", "of probe");
  for (const OpTime& op : pass.ops) {
    // Bytes bound a row alone; the many rows of a prefill share them and are bound by arithmetic.
    const bool reads = pass.shape.decode && op.bytes > 0;
    const double gbps = as_double(op.bytes) / op.seconds / 1e9;
    text += fmt::format(
        "  {:<18} {:>10.3f} {:>6.0f} % {:>8} {:>8} {:>9}\n", op.op, 1e3 * op.seconds,
        100 * op.seconds / total,
        op.operations > 0 ? fmt::format("{:.0f}", as_double(op.operations) / op.seconds / 1e9) : "-",
        reads ? fmt::format("{:.1f}", gbps) : "-", reads ? share_text(gbps, probe) : "-");
  }
  return text + fmt::format("  {:<18} {:>10.3f}\n", "sum", 1e3 * total);
}

// ---- JSON ----

void write_spread(JsonWriter& json, std::string_view key, const Spread& spread) {
  json.key(key).begin_object();
  json.key("median").number(spread.median);
  json.key("p10").number(spread.p10);
  json.key("p90").number(spread.p90);
  json.end_object();
}

void write_bandwidth(JsonWriter& json, std::string_view key, const Bandwidth& bandwidth) {
  json.key(key).begin_object();
  json.key("read_gbps_1t").number(bandwidth.one_thread);
  json.key("read_gbps").number(bandwidth.all_threads);
  json.end_object();
}

void write_share(JsonWriter& json, double gbps, double probe) {
  json.key("gbps").number(gbps);
  json.key("probe_share").optional_number(probe > 0 ? std::optional(gbps / probe) : std::nullopt);
}

void write_heading(JsonWriter& json, const BenchReport& report) {
  json.key("machine").begin_object();
  json.key("processor").string(report.processor.name);
  json.key("features").begin_array();
  for (const std::string& feature : report.processor.features) json.string(feature);
  json.end_array();
  json.key("cpus").unsigned_integer(report.processor.n_cpus);
  json.end_object();
  json.key("backend").begin_object();
  json.key("id").string(report.backend);
  json.key("device").string(report.device);
  json.key("code_path").string(report.code_path);
  json.key("threads").unsigned_integer(report.threads);
  json.end_object();
  json.key("model").begin_object();
  json.key("file").string(report.model_file);
  json.key("name").string(report.model_name);
  json.key("architecture").string(report.architecture);
  json.key("types").begin_object();
  for (const auto& [type, bytes] : report.bytes_by_type) json.key(info(type).name).unsigned_integer(bytes);
  json.end_object();
  json.key("weights_bytes").unsigned_integer(report.weights_bytes);
  json.end_object();
  json.key("kv_type").string(report.kv_type);
  json.key("repeat").unsigned_integer(report.repeat);
  json.key("load_seconds").number(report.load_seconds);
  json.key("probe").begin_object();
  write_bandwidth(json, "before", report.before);
  write_bandwidth(json, "after", report.after);
  json.end_object();
}

void write_workload(JsonWriter& json, const WorkloadReport& w, double probe) {
  json.begin_object();
  json.key("policy").string(w.policy);
  json.key("budget").string(w.budget);
  json.key("prompt").unsigned_integer(w.prompt);
  json.key("generate").unsigned_integer(w.generate);
  json.key("sequences").unsigned_integer(w.sequences);
  if (w.prefill) {
    json.key("prefill").begin_object();
    write_spread(json, "tps", w.prefill->tps);
    json.key("gops").number(w.prefill->gops);
    json.end_object();
  }
  if (w.decode) {
    json.key("decode").begin_object();
    write_spread(json, "tps", w.decode->tps);
    json.key("passes").unsigned_integer(w.decode->n_passes);
    json.key("step_ms").number(w.decode->pass_ms);
    write_spread(json, "policy_ms", w.decode->policy_ms);
    json.key("policy_share").number(w.decode->policy_share());
    json.key("weight_bytes_per_token").number(w.decode->weight_bytes_per_token);
    json.key("kv_bytes_per_token").number(w.decode->kv_bytes_per_token);
    write_share(json, w.decode->gbps(), probe);
    json.end_object();
  }
  json.key("at_once").unsigned_integer(w.n_at_once);
  json.key("kv_peak_bytes").unsigned_integer(w.kv_peak_bytes);
  json.key("kv_end_bytes").unsigned_integer(w.kv_end_bytes);
  json.key("released").unsigned_integer(w.released);
  json.key("peak_resident_bytes");
  w.peak_resident_bytes ? json.unsigned_integer(*w.peak_resident_bytes) : json.null();
  json.key("other_cpu").optional_number(w.other_cpu);
  json.end_object();
}

void write_pass(JsonWriter& json, const PassTimes& pass, double probe) {
  json.begin_object();
  json.key("kind").string(pass.shape.decode ? "decode" : "prefill");
  json.key("rows").unsigned_integer(pass.shape.n_rows);
  json.key("slots").unsigned_integer(pass.shape.n_slots);
  json.key("ops").begin_array();
  for (const OpTime& op : pass.ops) {
    json.begin_object();
    json.key("op").string(op.op);
    json.key("ms").number(1e3 * op.seconds);
    json.key("gops").number(as_double(op.operations) / op.seconds / 1e9);
    json.key("bytes").unsigned_integer(op.bytes);
    write_share(json, as_double(op.bytes) / op.seconds / 1e9, probe);
    json.end_object();
  }
  json.end_array();
  json.end_object();
}

}  // namespace

std::string report_text(const BenchReport& report) {
  std::string text = heading(report);
  if (!report.workloads.empty()) text += workloads_text(report);
  for (const PassTimes& pass : report.passes) text += pass_text(pass, report.probe_gbps());
  return text;
}

std::string report_json(const BenchReport& report) {
  JsonWriter json;
  json.begin_object();
  write_heading(json, report);
  json.key("runs").begin_array();
  for (const WorkloadReport& workload : report.workloads) write_workload(json, workload, report.probe_gbps());
  json.end_array();
  json.key("passes").begin_array();
  for (const PassTimes& pass : report.passes) write_pass(json, pass, report.probe_gbps());
  json.end_array();
  json.end_object();
  return json.take() + "\n";
}

}  // namespace tenure
