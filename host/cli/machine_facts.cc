#include "cli/machine_facts.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>

#include "bench/machine.h"
#include "engine/threads.h"

namespace tenure::cli {
namespace {

constexpr double gib = 1073741824.0;

std::string variable(const char* name) {
  const char* text = std::getenv(name);
  return text ? text : "";
}

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// "key : value" files of /proc; the first value of each key.
std::map<std::string, std::string> proc_values(const std::string& path) {
  std::ifstream file(path);
  std::map<std::string, std::string> values;
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const size_t end = line.find_last_not_of(" \t", colon == 0 ? 0 : colon - 1);
    const size_t start = line.find_first_not_of(" \t", colon + 1);
    values.try_emplace(line.substr(0, end + 1), start == std::string::npos ? "" : line.substr(start));
  }
  return values;
}

std::optional<uint64_t> number_at_start(const std::string& text) {
  uint64_t number = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  if (read.ec != std::errc()) return std::nullopt;
  return number;
}

Fact cpu_fact() {
  const Processor found = processor();
  const bool has_avx2 = std::find(found.features.begin(), found.features.end(), "avx2") != found.features.end();
  std::string features;
  for (const std::string& feature : found.features) features += (features.empty() ? "" : " ") + feature;
  Fact fact{.name = "processor",
            .fact = fmt::format("{}: {}", found.name, features.empty() ? "no vector extensions known here" : features)};
  if (!has_avx2) {
    fact.verdict = FactVerdict::note;
    fact.fix = "without AVX2 the scalar path is used, several times slower; run on a newer CPU";
  }
  return fact;
}

Fact threads_fact() {
  const uint32_t usable = usable_threads();
  cpu_set_t set;
  CPU_ZERO(&set);
  const int affinity = ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
  const long online = ::sysconf(_SC_NPROCESSORS_ONLN);
  const std::string quota = first_line("/sys/fs/cgroup/cpu.max");
  const std::string slurm = variable("SLURM_CPUS_PER_TASK");
  Fact fact{.name = "threads",
            .fact = fmt::format(
                "{} usable; {} CPUs online, affinity {}, cgroup quota {}, SLURM_CPUS_PER_TASK {}", usable,
                online, affinity, quota.empty() ? "none" : quota, slurm.empty() ? "unset" : slurm)};
  if (static_cast<long>(usable) < online) {
    fact.verdict = FactVerdict::note;
    fact.fix =
        "the process may not use all CPUs: taskset, the container's CPU quota or --cpus-per-task say how "
        "many";
  }
  return fact;
}

Fact available_fact() {
  auto values = proc_values("/proc/meminfo");
  const double total = static_cast<double>(number_at_start(values["MemTotal"]).value_or(0)) * 1024.0;
  const double available = static_cast<double>(number_at_start(values["MemAvailable"]).value_or(0)) * 1024.0;
  const auto limit = number_at_start(first_line("/sys/fs/cgroup/memory.max"));
  Fact fact{
      .name = "memory",
      .fact = fmt::format("{:.1f} GiB, {:.1f} GiB available, cgroup limit {}", total / gib, available / gib,
                          limit ? fmt::format("{:.1f} GiB", static_cast<double>(*limit) / gib) : "none")};
  const double usable = limit ? std::min(available, static_cast<double>(*limit)) : available;
  if (usable < 2 * gib) {
    fact.verdict = FactVerdict::note;
    fact.fix =
        "weights and [engine] memory (4 GiB when not set) must fit: set a smaller [engine] memory, or free "
        "some";
  }
  return fact;
}

// KV pools reserve address space far beyond what they touch.
Fact address_space_fact() {
  const std::string overcommit = first_line("/proc/sys/vm/overcommit_memory");
  rlimit limit{};
  ::getrlimit(RLIMIT_AS, &limit);
  const bool limited = limit.rlim_cur != RLIM_INFINITY;
  Fact fact{.name = "address space",
            .fact = fmt::format(
                "limit {}, vm.overcommit_memory {}",
                limited ? fmt::format("{:.1f} GiB", static_cast<double>(limit.rlim_cur) / gib) : "none",
                overcommit.empty() ? "unknown" : overcommit)};
  if (limited || overcommit == "2") {
    fact.verdict = FactVerdict::note;
    fact.fix = limited ? "`ulimit -v unlimited`, or set [engine] memory below the limit"
                       : "set [engine] memory to what is really free";
  }
  return fact;
}

Fact huge_pages_fact() {
  const std::string mode = first_line("/sys/kernel/mm/transparent_hugepage/enabled");
  Fact fact{.name = "huge pages", .fact = mode.empty() ? "unknown" : mode};
  if (mode.find("[never]") != std::string::npos) {
    fact.verdict = FactVerdict::note;
    fact.fix =
        "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled makes attention over long caches faster";
  }
  return fact;
}

Fact variables_fact() {
  std::string unread;
  for (const char* name : {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"}) {
    if (!variable(name).empty())
      unread += fmt::format("{}{}={}", unread.empty() ? "" : " ", name, variable(name));
  }
  if (!unread.empty()) {
    return {"environment", unread, FactVerdict::note,
            "these are not read: [backend] threads says how many threads a run uses"};
  }
  const std::string path = variable("TENURE_PLUGIN_PATH");
  bool has_relative = false;
  std::istringstream entries(path);
  for (std::string entry; std::getline(entries, entry, ':');)
    has_relative = has_relative || (!entry.empty() && entry[0] != '/');
  if (has_relative)
    return {"environment", "TENURE_PLUGIN_PATH=" + path, FactVerdict::note,
            "relative entries are not searched: give absolute folders"};
  return {.name = "environment",
          .fact = path.empty() ? "nothing set that matters" : "TENURE_PLUGIN_PATH=" + path};
}

Fact locale_fact() {
  std::string locale;
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    if (locale.empty()) locale = variable(name);
  }
  const bool is_utf8 = locale.find("UTF-8") != std::string::npos || locale.find("utf8") != std::string::npos;
  Fact fact{.name = "locale", .fact = locale.empty() ? "unset" : locale};
  if (!is_utf8) {
    fact.verdict = FactVerdict::note;
    fact.fix = "rows are UTF-8 in any locale, but a terminal may show them wrong: export LC_ALL=C.UTF-8";
  }
  return fact;
}

Fact limits_fact() {
  rlimit files{}, size{}, stack{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  ::getrlimit(RLIMIT_FSIZE, &size);
  ::getrlimit(RLIMIT_STACK, &stack);
  const auto text = [](rlim_t limit) {
    return limit == RLIM_INFINITY ? std::string("unlimited") : fmt::format("{}", limit);
  };
  Fact fact{.name = "limits",
            .fact = fmt::format("open files {}, file size {}, stack {}", text(files.rlim_cur),
                                text(size.rlim_cur), text(stack.rlim_cur))};
  if (files.rlim_cur < 256) fact.fix = "`ulimit -n 1024`";
  if (size.rlim_cur != RLIM_INFINITY)
    fact.fix = "`ulimit -f unlimited`: results.jsonl may grow past the limit";
  if (stack.rlim_cur < (rlim_t{1} << 20)) fact.fix = "`ulimit -s 8192`";
  if (!fact.fix.empty()) fact.verdict = FactVerdict::note;
  return fact;
}

Fact scheduler_fact() {
  const std::string job = variable("SLURM_JOB_ID");
  if (!job.empty()) {
    const std::string task = variable("SLURM_ARRAY_TASK_ID");
    return {.name = "scheduler",
            .fact = fmt::format("Slurm job {}{}", job, task.empty() ? "" : ", array task " + task)};
  }
  return {.name = "scheduler", .fact = variable("KUBERNETES_SERVICE_HOST").empty() ? "none" : "Kubernetes"};
}

}  // namespace

std::vector<Fact> processor_facts() {
  return {cpu_fact(), threads_fact()};
}
std::vector<Fact> memory_facts() {
  return {available_fact(), address_space_fact(), huge_pages_fact()};
}
std::vector<Fact> environment_facts() {
  return {variables_fact(), locale_fact(), limits_fact(), scheduler_fact()};
}

}  // namespace tenure::cli
