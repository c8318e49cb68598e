#include "record/run_directory.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <ctime>
#include <map>

#include "error/error.h"
#include "record/json_value.h"

namespace tenure {
namespace {

void make_directories(const std::string& path) {
  for (size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
    const std::string part = path.substr(0, at);
    if (mkdir(part.c_str(), 0755) != 0 && errno != EEXIST) {
      throw Error(Code::cannot_create, fmt::format("cannot create {}: {}", part, std::strerror(errno)));
    }
    if (at == std::string::npos) return;
  }
}

void flatten(const JsonValue& value, const std::string& path, std::map<std::string, std::string>& out) {
  if (const auto* members = value.object(); members && !members->empty()) {
    for (const JsonMember& member : *members) {
      flatten(member.value, path.empty() ? member.key : path + "." + member.key, out);
    }
    return;
  }
  append_json(out[path], value);
}

std::map<std::string, std::string> flatten_manifest(std::string_view json) {
  const auto parsed = parse_json(json);
  const JsonValue* root = std::get_if<JsonValue>(&parsed);
  if (!root || !root->object()) throw Error(Code::run_malformed, "manifest.json is not a JSON object");
  std::map<std::string, std::string> flat;
  flatten(*root, "", flat);
  return flat;
}

bool is_free(const std::string& key, const std::vector<std::string>& free_keys) {
  return std::any_of(free_keys.begin(), free_keys.end(), [&](const std::string& free) {
    return key == free || (key.starts_with(free) && key[free.size()] == '.');
  });
}

Error differs(const std::string& path, const std::vector<ManifestDifference>& differences) {
  constexpr size_t most = 20;
  std::string text = fmt::format("{} was started with another plan:", path);
  for (size_t i = 0; i < std::min(most, differences.size()); ++i) {
    const ManifestDifference& d = differences[i];
    const auto shown = [](const std::string& s) {
      return s.empty() ? std::string("(absent)") : s.substr(0, 120);
    };
    text += fmt::format("\n  {}: {} -> {}", d.key, shown(d.before), shown(d.now));
  }
  if (differences.size() > most) text += fmt::format("\n  and {} more", differences.size() - most);
  return Error({.code = Code::run_differs,
                .text = std::move(text),
                .help = "give another --out, or restore what changed"});
}

std::string host_name() {
  char name[HOST_NAME_MAX + 1] = {};
  return gethostname(name, sizeof name - 1) == 0 ? name : "unknown";
}

}  // namespace

RunState run_state(const std::string& path) {
  if (!file_exists(path + "/manifest.json")) return RunState::absent;
  return file_exists(path + "/DONE") ? RunState::done : RunState::unfinished;
}

std::vector<ManifestDifference> compare_manifests(std::string_view before, std::string_view now,
                                                  const std::vector<std::string>& free_keys) {
  auto old_values = flatten_manifest(before);
  auto new_values = flatten_manifest(now);
  for (const auto& entry : old_values) new_values.try_emplace(entry.first);
  std::vector<ManifestDifference> differences;
  for (const auto& [key, value] : new_values) {
    const std::string& old_value = old_values[key];
    if (value != old_value && !is_free(key, free_keys)) differences.push_back({key, old_value, value});
  }
  return differences;
}

std::string RunDirectory::file(std::string_view name) const {
  return fmt::format("{}/{}", path_, name);
}

RunDirectory RunDirectory::open(const Options& options) {
  RunDirectory run(options.path);
  make_directories(run.path_);
  run.lock();
  run.found_state_ = run_state(run.path_);
  run.refuse_own_files(options.inputs);
  run.settle_manifest(options);
  run.repair();
  return run;
}

void RunDirectory::lock() {
  const std::string path = file("lock");
  lock_ = FileDescriptor(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!lock_)
    throw Error(Code::cannot_create, fmt::format("cannot create {}: {}", path, std::strerror(errno)));
  if (flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK)
      throw Error(Code::write_failed, fmt::format("cannot lock {}: {}", path, std::strerror(errno)));
    std::string holder = read_file(path);
    while (holder.ends_with('\n')) holder.pop_back();
    throw Error(Code::run_locked,
                fmt::format("{} is locked by {}", path_, holder.empty() ? "another process" : holder));
  }
  // The text only names the holder; the lock itself dies with the process.
  const std::string holder = fmt::format("pid {} on {}\n", getpid(), host_name());
  if (ftruncate(lock_.get(), 0) != 0 || pwrite(lock_.get(), holder.data(), holder.size(), 0) < 0) {
    throw Error(Code::write_failed, fmt::format("cannot write {}: {}", path, std::strerror(errno)));
  }
}

void RunDirectory::refuse_own_files(const std::vector<std::string>& inputs) const {
  for (const std::string& input : inputs) {
    struct stat theirs {};
    if (stat(input.c_str(), &theirs) != 0) continue;
    for (std::string_view name :
         {"results.jsonl", "events.jsonl", "progress.json", "metrics.prom", "summary.json"}) {
      struct stat ours {};
      if (stat(file(name).c_str(), &ours) != 0) continue;
      if (theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino) {
        throw Error(Code::bad_value, fmt::format("input {} is a file that this run writes", input));
      }
    }
  }
}

void RunDirectory::settle_manifest(const Options& options) {
  const std::string path = file("manifest.json");
  if (found_state_ != RunState::absent) {
    const auto differences = compare_manifests(read_file(path), options.manifest, options.free_keys);
    if (!differences.empty()) throw differs(path_, differences);
    return;
  }
  if (file_exists(results_path())) {
    throw Error(Code::run_malformed, fmt::format("{} has results.jsonl, but no manifest.json", path_));
  }
  flatten_manifest(options.manifest);  // refuses now what a resume could not read
  replace_file(path, options.manifest);
}

void RunDirectory::repair() {
  rows_ = RowIndex::read(results_path());
  struct stat status {};
  if (stat(results_path().c_str(), &status) != 0) return;
  const auto size = static_cast<uint64_t>(status.st_size);
  if (size <= rows_.scan().end) return;
  if (truncate(results_path().c_str(), static_cast<off_t>(rows_.scan().end)) != 0) {
    throw Error(Code::write_failed,
                fmt::format("cannot cut the torn end of {}: {}", results_path(), std::strerror(errno)));
  }
  cut_bytes_ = size - rows_.scan().end;
}

std::string RunDirectory::make_default(const std::string& parent, const std::string& pipeline) {
  make_directories(parent);
  uint32_t random = 0;
  if (getrandom(&random, sizeof random, 0) != sizeof random) random = static_cast<uint32_t>(getpid());
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  const std::string path =
      fmt::format("{}/{}-{:%Y%m%d-%H%M%S}-{:06x}", parent, pipeline, local, random & 0xffffff);
  if (mkdir(path.c_str(), 0755) != 0) {
    throw Error(Code::cannot_create, fmt::format("cannot create {}: {}", path, std::strerror(errno)));
  }
  return path;
}

std::string RunDirectory::keep_requests(int fd) const {
  const std::string path = file("requests.jsonl");
  if (file_exists(path)) return path;
  const std::string temporary = path + ".tmp";
  FileDescriptor copy(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!copy)
    throw Error(Code::cannot_create, fmt::format("cannot create {}: {}", temporary, std::strerror(errno)));
  char block[65536];
  for (;;) {
    const ssize_t n = read(fd, block, sizeof block);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw Error(Code::input_unreadable, fmt::format("standard input: {}", std::strerror(errno)));
    if (n == 0) break;
    if (!write_all(copy.get(), {block, static_cast<size_t>(n)})) {
      throw Error(Code::write_failed, fmt::format("{}: {}", temporary, std::strerror(errno)));
    }
  }
  if (fsync(copy.get()) != 0 || rename(temporary.c_str(), path.c_str()) != 0) {
    throw Error(Code::write_failed, fmt::format("{}: {}", path, std::strerror(errno)));
  }
  return path;
}

void RunDirectory::write_done(uint64_t n_rows, uint64_t n_bytes) const {
  replace_file(file("DONE"), fmt::format("{{\"rows\":{},\"bytes\":{}}}\n", n_rows, n_bytes));
}

}  // namespace tenure
