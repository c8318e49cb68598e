// A CheckReport as text, JSON and JUnit's XML.
#include <fmt/format.h>

#include "check/check_plugin.h"
#include "record/json_writer.h"

namespace tenure {
namespace {

std::string heading(const CheckReport& report) {
  const PluginManifest& manifest = report.plugin.manifest;
  return fmt::format("{} \"{}\" {}, {}", name_of(manifest.kind), manifest.id, manifest.version,
                     report.plugin.library.string());
}

// Why a stopped check was not judged.
std::string text_of(const Verdict& verdict) {
  return verdict.outcome == Outcome::stopped ? fmt::format("stopped by a broken `{}`", info(verdict.by).id)
                                             : verdict.text;
}

std::string xml(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '<' || c == '>' || c == '&' || c == '"') {
      out += fmt::format("&#{};", static_cast<int>(c));
    } else {
      out += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
    }
  }
  return out;
}

}  // namespace

std::string text_of(const CheckReport& report) {
  std::string text = heading(report) + "\n";
  for (const CheckResult& result : report.results) {
    const RuleInfo& rule = info(result.rule);
    const bool failed =
        result.verdict.outcome == Outcome::failed || result.verdict.outcome == Outcome::unavailable;
    text += fmt::format("{:<8} {:<16} {}{}\n", name_of(result.verdict.outcome), rule.id,
                        failed ? fmt::format("\"{}\": ", rule.promise) : "", text_of(result.verdict));
  }
  const size_t n_failed = report.count(Outcome::failed);
  const size_t n_skipped = report.count(Outcome::skipped) + report.count(Outcome::stopped);
  text += fmt::format("{} ok, {} failed, {} skipped; seed {}\n", report.count(Outcome::ok), n_failed,
                      n_skipped, report.seed);
  if (report.plugin.manifest.kind == PluginKind::backend) {
    text += "a backend's ops, layouts and evidence are not compared with a reference here\n";
  }
  return text;
}

std::string json_of(const CheckReport& report) {
  const PluginManifest& manifest = report.plugin.manifest;
  JsonWriter json;
  json.begin_object();
  json.key("plugin").string(manifest.id);
  json.key("kind").string(name_of(manifest.kind));
  json.key("version").string(manifest.version);
  json.key("file").string(report.plugin.library.string());
  json.key("seed").unsigned_integer(report.seed);
  json.key("exit_code").integer(report.exit_code());
  json.key("checks").begin_array();
  for (const CheckResult& result : report.results) {
    json.begin_object();
    json.key("rule").string(info(result.rule).id);
    json.key("promise").string(info(result.rule).promise);
    const bool failed = result.verdict.outcome == Outcome::failed;
    json.key("outcome").string(failed ? "failed" : name_of(result.verdict.outcome));
    json.key("text").string(text_of(result.verdict));
    json.key("seconds").number(result.seconds);
    json.end_object();
  }
  json.end_array();
  json.end_object();
  return json.take() + "\n";
}

std::string junit_of(const CheckReport& report) {
  double seconds = 0;
  std::string cases;
  for (const CheckResult& result : report.results) {
    seconds += result.seconds;
    const std::string text = xml(text_of(result.verdict));
    cases += fmt::format("  <testcase classname=\"{}\" name=\"{}\" time=\"{:.3f}\">",
                         xml(report.plugin.manifest.id), info(result.rule).id, result.seconds);
    switch (result.verdict.outcome) {
      case Outcome::ok:
        break;
      case Outcome::failed:
      case Outcome::unavailable:
        cases += fmt::format("<failure message=\"{}\"/>", text);
        break;
      case Outcome::skipped:
      case Outcome::stopped:
        cases += fmt::format("<skipped message=\"{}\"/>", text);
        break;
    }
    cases += "</testcase>\n";
  }
  const size_t n_skipped = report.count(Outcome::skipped) + report.count(Outcome::stopped);
  return fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"tenure plugin check {}\" tests=\"{}\" "
      "failures=\"{}\" skipped=\"{}\" "
      "time=\"{:.3f}\">\n{}</testsuite>\n",
      xml(report.plugin.manifest.id), report.results.size(),
      report.count(Outcome::failed) + report.count(Outcome::unavailable), n_skipped, seconds, cases);
}

}  // namespace tenure
