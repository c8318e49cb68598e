#include "golden/golden_rig.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>

#include "conformance/subject.h"

namespace tenure::golden {

namespace {

// A list of prompts a model, in one file for every script that makes some.
nlohmann::json goldens_of(const std::string& model) {
  for (const auto& entry : std::filesystem::directory_iterator("tests/data")) {
    if (!entry.path().filename().string().ends_with("_logits.json")) continue;
    std::ifstream stream(entry.path());
    nlohmann::json all = nlohmann::json::parse(stream);
    if (all.contains(model)) return all.at(model);
  }
  FAIL("no goldens for ", model);
  return {};
}

}  // namespace

std::vector<GoldenPrompt> golden_prompts(const std::string& file) {
  std::vector<GoldenPrompt> prompts;
  for (const nlohmann::json& entry : goldens_of(file)) {
    GoldenPrompt prompt{.ids = entry.at("ids"),
                        .last_logits = entry.at("last_logits"),
                        .top = {},
                        .logsumexp = {},
                        .greedy = {}};
    for (const nlohmann::json& position : entry.value("top", nlohmann::json::array())) {
      prompt.top.emplace_back();
      for (const nlohmann::json& ranked : position)
        prompt.top.back().push_back({.id = ranked.at(0), .logit = ranked.at(1)});
    }
    if (entry.contains("logsumexp")) prompt.logsumexp = entry.at("logsumexp").get<std::vector<double>>();
    if (entry.contains("greedy")) prompt.greedy = entry.at("greedy").get<std::vector<int32_t>>();
    prompts.push_back(std::move(prompt));
  }
  return prompts;
}

Rig::Rig(Backend& backend, const std::string& file)
    : backend_(backend),
      source_(ModelSource::open("tests/data/" + file)),
      info_(source_->config()),
      tokenizer_(source_->tokenizer()),
      model_(*source_, info_, backend) {}

std::vector<std::vector<float>> Rig::logits(const std::vector<int32_t>& ids, uint32_t chunk, Dtype kv_type) {
  const uint32_t n_vocab = info_.config().n_vocab;
  KvMemory memory(backend_, info_.config(), 16 << 20, chunk);
  KvAccount account;
  KvCache cache(backend_, model_.weights(), memory.kv_config(kv_type, kv_type), account);
  const Activations activations(backend_, info_.config(), chunk);
  backend_.reserve(model_.weights(), chunk, 1, info_.config().n_ctx);
  std::vector<std::vector<float>> logits(ids.size(), std::vector<float>(n_vocab));
  for (uint32_t first = 0; first < ids.size(); first += chunk) {
    const auto n = std::min(chunk, static_cast<uint32_t>(ids.size()) - first);
    const auto position = static_cast<int32_t>(first);
    cache.begin_step();
    REQUIRE(cache.append(position, n));
    Batch batch;
    batch.add({.cache = &cache,
               .appended = 0,
               .kind = n == 1 ? uint32_t{TENURE_ROWS_DECODE} : uint32_t{TENURE_ROWS_PREFILL},
               .ids = std::span(ids).subspan(first, n),
               .first_pos = position,
               .n_mass_rows = 0});
    for (uint32_t row = 0; row < n; ++row)
      batch.want(row, {.flags = TENURE_WANT_FULL, .ids = {}, .full = logits[first + row]});
    conformance::require_ok(model_.forward(batch, activations));
    cache.trim_windows(position + static_cast<int32_t>(n));
  }
  return logits;
}

std::vector<SessionResult> Rig::generate(const std::vector<std::vector<int32_t>>& prompts, uint32_t n_new,
                                         const PolicySettings& settings) {
  std::vector<SessionResult> results(prompts.size());
  std::mutex mutex;
  std::condition_variable changed;
  size_t n_done = 0;
  Engine engine(model_, backend_, tokenizer_, {.memory = 16 << 20});
  for (size_t i = 0; i < prompts.size(); ++i) {
    auto script = std::make_shared<SessionScript>();
    script->id = std::to_string(i);
    script->policy = &settings;
    script->ignore_eos = true;
    script->segments.push_back(
        {.ids = prompts[i], .generate = n_new, .score = {}, .label = {}, .answers = {}});
    auto job = std::make_unique<Job>();
    job->script = script;
    job->on_done = [&, i](SessionResult&& result) {
      const std::lock_guard lock(mutex);
      results[i] = std::move(result);
      ++n_done;
      changed.notify_all();
    };
    engine.submit(std::move(job));
  }
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return n_done == prompts.size(); });
  return results;
}

void require_ok(const SessionResult& result) {
  const std::string why = result.error ? result.error->message : std::string();
  REQUIRE_MESSAGE(!result.error, why);
}

namespace {

uint32_t phase_bits(const std::vector<Phase>& phases) {
  uint32_t bits = 0;
  for (Phase phase : phases)
    bits |= phase == Phase::chunk    ? TENURE_PHASE_CHUNK
            : phase == Phase::decode ? TENURE_PHASE_DECODE
                                     : TENURE_PHASE_PREFILL_END;
  return bits;
}

}  // namespace

LoadedPolicy::LoadedPolicy(const std::string& id, const ModelInfo& info)
    : library_(conformance::plugins().find(id, PluginKind::policy), {}), policy_(library_, info.abi(), {}) {}

PolicySettings LoadedPolicy::settings() const {
  const PluginManifest& manifest = library_.manifest();
  const uint32_t granularities[] = {TENURE_GRANULARITY_TOKEN, TENURE_GRANULARITY_LAYER,
                                    TENURE_GRANULARITY_KV_HEAD};
  PolicySettings settings;
  settings.name = manifest.id;
  settings.policy = &policy_;
  settings.granularity = granularities[static_cast<int>(manifest.needs.granularity)];
  settings.k_type = settings.v_type = Dtype::f32;
  settings.positions = manifest.defaults.positions.value_or(PositionMode::original);
  settings.when = phase_bits(manifest.needs.phases);
  settings.n_sink = manifest.defaults.n_sink.value_or(SlotShare{});
  settings.n_recent = manifest.defaults.n_recent.value_or(SlotShare{});
  return settings;
}

}  // namespace tenure::golden
