// engine_bench: prefill and decode speed, cache bytes and allocations of the real engine, on random tokens.
//
//   engine_bench --model M --prompt 8000 --generate 64 --policy streaming_llm --budget 1024 --threads 2
//   --json
//
// Speeds are wall-clock, decisions of the policy included. Prefill: from submitting to the last prompt token
// fed. Decode: from then until the first sequence ends, so that with --sequences B all B decode together.
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <iostream>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "bench_plan.h"
#include "counting_malloc.h"
#include "graph/runtime.h"
#include "plugin/host_services.h"

namespace {

using Clock = std::chrono::steady_clock;
using namespace tenure;

struct Load {
  uint32_t prompt = 512;
  uint32_t generate = 64;
  uint32_t sequences = 1;
  uint32_t repeat = 1;
};

struct Bench {
  Runtime& runtime;
  const PolicySettings& policy;
};

// A look at the engine while it decodes.
struct Sample {
  Clock::time_point at;
  uint64_t n_decoded = 0;
  uint64_t n_allocations = 0;
};

struct Measured {
  double prefill_tps = 0;
  double decode_tps = 0;
  double allocations_per_step = 0;
  uint64_t peak_bytes = 0;  // of the sequences' caches, added up
  uint64_t end_bytes = 0;
  uint64_t released = 0;
};

// What the engine's thread reports of the jobs of one round.
class Round {
 public:
  Round(Engine& engine, uint32_t n_jobs) : engine_(engine), n_left_(n_jobs) {}

  void done(SessionResult&& result) {
    const Sample now = look();
    const std::lock_guard lock(mutex_);
    if (results_.empty()) first_end_ = now;
    results_.push_back(std::move(result));
    if (--n_left_ == 0) all_done_.notify_one();
  }

  Sample look() const { return {Clock::now(), engine_.figures().n_decoded, allocations()}; }

  // False when the time ran out first.
  bool wait_for(std::chrono::milliseconds time) {
    std::unique_lock lock(mutex_);
    return all_done_.wait_for(lock, time, [this] { return n_left_ == 0; });
  }

  const Sample& first_end() const { return first_end_; }
  const std::vector<SessionResult>& results() const { return results_; }

 private:
  Engine& engine_;
  std::mutex mutex_;
  std::condition_variable all_done_;
  uint32_t n_left_;
  Sample first_end_;
  std::vector<SessionResult> results_;
};

// Any ids but the control tokens, the same in every run.
std::vector<int32_t> random_ids(uint32_t n, uint32_t n_vocab, uint64_t seed) {
  constexpr uint32_t first_text_id = 100;
  std::vector<int32_t> ids(n);
  for (uint32_t i = 0; i < n; ++i) {
    ids[i] = static_cast<int32_t>(first_text_id + random_bits(seed, i) % (n_vocab - first_text_id));
  }
  return ids;
}

std::unique_ptr<Job> make_job(const Bench& bench, const Load& load, uint32_t sequence, Round& round) {
  auto script = std::make_shared<SessionScript>();
  script->id = std::to_string(sequence);
  script->policy = &bench.policy;
  script->ignore_eos = true;
  script->segments.resize(1);
  script->segments[0].ids = random_ids(load.prompt, bench.runtime.model().config().n_vocab, sequence);
  script->segments[0].generate = std::max(load.generate, 1u);
  auto job = std::make_unique<Job>();
  job->script = std::move(script);
  job->on_done = [&round](SessionResult&& result) { round.done(std::move(result)); };
  return job;
}

// Steps while every sequence decoded, and what was allocated meanwhile; the looks are 10 ms apart, so that
// looking costs the engine nothing.
double allocations_per_step(const std::vector<Sample>& samples, uint32_t n_sequences) {
  if (samples.size() < 2) return 0;
  const uint64_t steps = (samples.back().n_decoded - samples.front().n_decoded) / n_sequences;
  return steps == 0
             ? 0
             : static_cast<double>(samples.back().n_allocations - samples.front().n_allocations) / steps;
}

Measured run_once(Bench& bench, const Load& load) {
  Engine& engine = bench.runtime.engine();
  Round round(engine, load.sequences);
  const uint64_t target = engine.figures().n_prefilled + uint64_t{load.prompt} * load.sequences;
  const auto submitted = Clock::now();
  for (uint32_t i = 0; i < load.sequences; ++i) engine.submit(make_job(bench, load, i, round));

  while (engine.figures().n_prefilled < target && !round.wait_for(std::chrono::milliseconds(1))) {
  }
  std::vector<Sample> samples;
  samples.reserve(1 << 16);
  const Sample prefilled = round.look();
  while (!round.wait_for(std::chrono::milliseconds(10))) samples.push_back(round.look());

  const auto seconds = [](auto duration) { return std::chrono::duration<double>(duration).count(); };
  Measured measured;
  measured.prefill_tps = load.prompt * load.sequences / seconds(prefilled.at - submitted);
  while (!samples.empty() && samples.back().at > round.first_end().at) samples.pop_back();
  if (load.generate > 0 && round.first_end().n_decoded > prefilled.n_decoded) {
    measured.decode_tps =
        (round.first_end().n_decoded - prefilled.n_decoded) / seconds(round.first_end().at - prefilled.at);
    measured.allocations_per_step = allocations_per_step(samples, load.sequences);
  }
  for (const SessionResult& result : round.results()) {
    if (result.error) throw Error(Code::internal, "a sequence failed: " + result.error->message);
    measured.peak_bytes += result.peak_bytes;
    measured.end_bytes += result.end_bytes;
    measured.released += result.released;
  }
  return measured;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

nlohmann::json report(const Bench& bench, const Load& load, const std::vector<Measured>& rounds) {
  const auto median_of = [&](double Measured::*member) {
    std::vector<double> values;
    for (const Measured& round : rounds) values.push_back(round.*member);
    return median(std::move(values));
  };
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const Measured& last = rounds.back();
  return {{"policy", bench.policy.policy->id()},
          {"code_path", bench.runtime.backend().properties().code_path},
          {"prompt", load.prompt},
          {"generate", load.generate},
          {"sequences", load.sequences},
          {"repeat", load.repeat},
          {"prefill_tps", median_of(&Measured::prefill_tps)},
          {"decode_tps", median_of(&Measured::decode_tps)},
          {"allocations_per_step", median_of(&Measured::allocations_per_step)},
          {"kv_peak_bytes", last.peak_bytes},
          {"kv_end_bytes", last.end_bytes},
          {"released", last.released},
          {"weights_bytes", bench.runtime.model().weights_bytes()},
          // What one decode step must read at least: every weight once, every sequence's cache once.
          {"bytes_per_step", bench.runtime.model().weights_bytes() + last.end_bytes},
          {"max_rss_bytes", uint64_t(usage.ru_maxrss) * 1024}};
}

void print(const nlohmann::json& report, bool as_json) {
  if (as_json) {
    std::cout << report.dump() << '\n';
    return;
  }
  for (const auto& [key, value] : report.items()) std::cout << fmt::format("{:<22}{}\n", key, value.dump());
}

int run(int argc, char** argv) {
  namespace options = boost::program_options;
  BenchSettings settings;
  Load load;
  bool as_json = false;
  options::options_description described("engine_bench: speed and memory of the engine on random tokens");
  auto add = described.add_options();
  add("help", "this text");
  add("model", options::value(&settings.model)->required(), "GGUF file");
  add("prompt", options::value(&load.prompt)->default_value(load.prompt),
      "tokens a sequence is fed, at least 1");
  add("generate", options::value(&load.generate)->default_value(load.generate), "tokens it then generates");
  add("sequences", options::value(&load.sequences)->default_value(load.sequences), "at the same time");
  add("repeat", options::value(&load.repeat)->default_value(load.repeat), "rounds; the median counts");
  add("policy", options::value(&settings.policy)->default_value(settings.policy), "plugin id");
  add("budget", options::value(&settings.budget), "slots or a fraction, as in a pipeline");
  add("chunk", options::value(&settings.chunk), "prompt tokens between two decisions");
  add("kv", options::value(&settings.kv_type)->default_value(settings.kv_type), "f32, f16 or bf16");
  add("backend", options::value(&settings.backend)->default_value(settings.backend), "plugin id");
  add("batch-rows", options::value(&settings.batch_rows), "rows one forward carries");
  add("threads", options::value(&settings.threads)->default_value(settings.threads), "");
  add("json", options::bool_switch(&as_json), "one JSON line");
  options::variables_map given;
  options::store(options::parse_command_line(argc, argv, described), given);
  if (given.contains("help")) {
    std::cout << described;
    return 0;
  }
  options::notify(given);
  if (load.prompt == 0 || load.sequences == 0 || load.repeat == 0) {
    throw options::error("--prompt, --sequences and --repeat are at least 1");
  }

  const PluginSearch plugins = search_plugins(search_folders());
  const Plan plan = bench_plan(settings, plugins);
  Runtime runtime(plugins, {});
  runtime.load(plan.cells.front());
  Bench bench{runtime, runtime.policy(bench_policy(plan))};
  run_once(bench, {.prompt = 64, .generate = 8});  // first touch of buffers and pages is nobody's speed
  std::vector<Measured> rounds;
  for (uint32_t i = 0; i < load.repeat; ++i) rounds.push_back(run_once(bench, load));
  print(report(bench, load, rounds), as_json);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  // A library that prefers fewer cores or older kernels would not be what users get.
  for (const char* name : {"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OPENBLAS_NUM_THREADS"}) unsetenv(name);
  try {
    return run(argc, argv);
  } catch (const boost::program_options::error& error) {
    std::cerr << "engine_bench: " << error.what() << '\n';
    return 64;
  } catch (const std::exception& error) {
    std::cerr << "engine_bench: " << error.what() << '\n';
    return 70;
  }
}
