// The doctor's facts that need a try: writing where runs go, loading the backend.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>

#include "cli/machine_facts.h"
#include "cli/plan_loading.h"
#include "engine/hot_arena.h"
#include "engine/threads.h"
#include "error/error.h"
#include "plan/resolver.h"
#include "plugin/backend.h"
#include "plugin/describe.h"
#include "plugin/library.h"
#include "record/file_io.h"

namespace tenure::cli {
namespace {

// Median of a few appended rows' fdatasync, in milliseconds; negative when the folder cannot be written.
double sync_latency(const std::string& folder) {
  std::string path = folder + "/.tenure-doctor-XXXXXX";
  const FileDescriptor file(::mkstemp(path.data()));
  if (!file) return -1;
  ::unlink(path.c_str());
  const std::string row(4096, 'x');
  std::vector<double> times;
  for (int i = 0; i < 7; ++i) {
    const auto start = std::chrono::steady_clock::now();
    if (!write_all(file.get(), row) || ::fdatasync(file.get()) != 0) return -1;
    times.push_back(
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

// An error's first line, without its number.
std::string first_line_of(const Error& error) {
  return error.diagnostics().front().text;
}

Fact backend_fact(const PluginSearch& search, const std::string& backend) {
  const std::string wanted = backend.empty() ? std::string(default_backend) : backend;
  try {
    // The smallest pipeline: so the plugin's own parameters get their defaults as they do in a run.
    PipelineSource source{.text =
                              "tenure = 1\n[model]\npath = \"none\"\n"
                              "[[stage]]\nid = \"in\"\nkind = \"read_jsonl\"\npath = \"none\"\n"
                              "[[stage]]\nid = \"out\"\nkind = \"generate\"\nfrom = \"in\"\n",
                          .name = "doctor",
                          .folder = "/",
                          .set = {"backend.plugin=" + wanted}};
    const BackendPlan plan = plan_of(source, search).cells.front().backend;
    HotArena arena(usable_threads());
    const Library library(resolve_plugin(search, plan.plugin, PluginKind::backend),
                          HostLoan{.executor = arena.executor()});
    const Backend loaded(library, plan.params);
    const BackendProperties& properties = loaded.properties();
    return {
        .name = "backend",
        .fact = fmt::format("{}: {}, code path {}", loaded.id(), properties.device, properties.code_path)};
  } catch (const Error& error) {
    return {"backend", fmt::format("{}: {}", wanted, first_line_of(error)), FactVerdict::bad,
            "`tenure plugin doctor` shows where plugins are searched and why one is skipped"};
  }
}

Fact plugins_fact(const PluginSearch& search) {
  size_t n_taken = 0, n_skipped = 0;
  std::string first_reason;
  for (const Candidate& candidate : search.candidates) {
    if (candidate.verdict == CandidateVerdict::taken) ++n_taken;
    if (candidate.verdict == CandidateVerdict::taken || candidate.verdict == CandidateVerdict::shadowed)
      continue;
    ++n_skipped;
    if (first_reason.empty())
      first_reason = fmt::format("{}: {}", candidate.library.filename().string(), candidate.reason);
  }
  std::string folders;
  for (size_t i = 0; i < search.folders.size(); ++i) {
    const std::string& note = search.folder_notes[i];
    folders += fmt::format("{}{}{}", i == 0 ? "" : ", ", search.folders[i].path.string(),
                           note.empty() ? "" : " (" + note + ")");
  }
  Fact fact{.name = "plugins", .fact = fmt::format("{} found in {}", n_taken, folders)};
  const bool is_healthy = doctor(search).is_healthy;
  if (n_taken > 0 && is_healthy) return fact;
  fact.verdict = n_taken == 0 ? FactVerdict::bad : FactVerdict::note;
  if (n_skipped > 0) fact.fact += fmt::format("; {} skipped, the first {}", n_skipped, first_reason);
  fact.fix = "`tenure plugin doctor` says what is wrong with each";
  return fact;
}

}  // namespace

std::vector<Fact> disk_facts(const std::string& folder) {
  struct statvfs disk {};
  const double latency = sync_latency(folder);
  const int reason = errno;
  if (latency < 0) {
    return {{"disk", fmt::format("cannot write in \"{}\": {}", folder, std::strerror(reason)),
             FactVerdict::bad, "run from a folder you can write in, or give `--out`"}};
  }
  const bool known = ::statvfs(folder.c_str(), &disk) == 0;
  const double free =
      known ? static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize) / 1073741824.0 : 0;
  Fact fact{
      .name = "disk",
      .fact = fmt::format("\"{}\": {:.1f} GiB free, a row is safe after {:.2f} ms", folder, free, latency)};
  if (free < 1) {
    fact.verdict = FactVerdict::note;
    fact.fix = "make room: a full disk stops a run (74), which resumes when there is some";
  } else if (latency > 50) {
    fact.verdict = FactVerdict::note;
    fact.fix = "a slow disk: keep [run] sync = \"1s\" rather than \"record\", or write to a local one";
  }
  return {fact};
}

std::vector<Fact> plugin_facts(const PluginSearch& search, const std::string& backend) {
  return {backend_fact(search, backend), plugins_fact(search)};
}

}  // namespace tenure::cli
