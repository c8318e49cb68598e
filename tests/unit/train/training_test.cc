// Whole trainings of tiny models in this process; tests/system/test_train.py drives the command.
#include "train/training.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "engine/run_to_end.h"
#include "train/bfloat16.h"
#include "train/labels.h"
#include "train/lent_products.h"
#include "train/row_recorder.h"
#include "train/weights_output.h"
#include "unit/train/trainable_rig.h"
#include "weights/safetensors.h"

namespace tenure::test {
namespace {

std::vector<TrainingDocument> some_documents(uint32_t n, uint32_t n_tokens) {
  std::vector<TrainingDocument> documents;
  for (uint32_t d = 0; d < n; ++d) {
    TrainingDocument document{.id = std::to_string(d), .ids = some_ids(n_tokens + d, d)};
    document.questions.push_back({.lead = some_ids(11, 100 + d), .answer = some_ids(3, 200 + d)});
    document.questions.push_back({.kind = QuestionKind::continuation, .lead = some_ids(1, 300 + d), .answer = some_ids(9, 400 + d)});
    documents.push_back(std::move(document));
  }
  return documents;
}

class TinyTraining {
 public:
  TinyTraining(const std::string& model, const std::string& plugin, const std::vector<std::string>& settings, uint32_t batch_rows = 32)
      : host_("cpu", model),
        rig_(host_.backend(), info_of(host_), plugin, settings),
        engine_(host_.model(), host_.backend(), host_.language().tokenizer(),
                {.batch_rows = batch_rows, .in_flight = 0, .memory = uint64_t{256} << 20, .max_rebuild_rows = 0}) {
    job_ = {.config = &host_.config(),
            .trainable = &rig_.trainable(),
            .engine = &engine_,
            .recipe = rig_.recipe(),
            .seed = 3,
            .documents = some_documents(rig_.recipe().documents + rig_.recipe().held_out, 70),
            .multiply = multiply_by(host_.backend()),
            .for_each = for_each_on(serial_executor()),
            .stop = &stop,
            .say = [this](const TrainingProgress& progress) {
              if (on_progress) on_progress(progress);
            }};
  }

  std::optional<std::vector<TrainedLayer>> run(const std::string& folder) {
    WorkFolder work(folder, "");
    return train(job_, work);
  }
  std::string weights(const std::vector<TrainedLayer>& trained) const { return weights_output(rig_.trainable().layers(), trained, {{"seed", "3"}}); }
  const TrainingJob& job() const { return job_; }
  TinyHost& host() { return host_; }

  std::atomic<bool> stop{false};
  std::function<void(const TrainingProgress&)> on_progress;

 private:
  const tenure_model_info& info_of(TinyHost& host) {
    info_ = std::make_unique<ModelInfo>(host.config());
    return info_->abi();
  }

  std::unique_ptr<ModelInfo> info_;
  TinyHost host_;
  TrainableRig rig_;
  Engine engine_;
  TrainingJob job_;
};

const std::vector<std::string> few = {"documents=4", "held_out=2", "epochs=3", "context=70"};

}  // namespace

TEST_CASE("training - every family gives tensors of every layer without a window") {
  for (const char* model : {"tiny-llama-f32", "tiny-group3-f32", "tiny-qwen2-f32", "tiny-qwen3-f32", "tiny-gemma3-f32", "tiny-phi3-f32"}) {
    for (const char* plugin : {"locret", "kvzap"}) {
      CAPTURE(model);
      CAPTURE(plugin);
      TinyTraining training(model, plugin, few);
      const ScratchFolder folder;
      const auto trained = training.run(folder.name + "/work");
      REQUIRE(trained);
      const std::string bytes = training.weights(*trained);
      const std::vector<std::byte> copy(reinterpret_cast<const std::byte*>(bytes.data()), reinterpret_cast<const std::byte*>(bytes.data()) + bytes.size());
      const SafetensorsFile file = SafetensorsFile::parse(copy, "weights");
      size_t n_tensors = 0;
      for (size_t l = 0; l < training.host().config().layers.size(); ++l) {
        const bool learns = training.host().config().layers[l].window == 0;
        CHECK(training.job().trainable->layers()[l].parameters.empty() == !learns);
        n_tensors += training.job().trainable->layers()[l].parameters.size();
      }
      CHECK(file.tensors().size() == n_tensors);
      CHECK(file.metadata().front() == std::pair<std::string, std::string>{"format", "tenure.weights/1"});
    }
  }
}

TEST_CASE("training - features and labels do not depend on how the engine cuts a document") {
  for (const auto& [plugin, label] : {std::pair{"locret", "attention_logprob_max"}, {"kvzap", "attention_importance_log"}}) {
    CAPTURE(label);
    std::vector<std::string> settings = few;
    settings.push_back(std::string("label=") + label);
    std::string first;
    for (const uint32_t batch_rows : {7u, 32u, 512u}) {
      CAPTURE(batch_rows);
      TinyTraining training("tiny-qwen2-f32", plugin, settings, batch_rows);
      const ScratchFolder folder;
      const std::string bytes = training.weights(training.run(folder.name + "/work").value());
      if (first.empty()) first = bytes;
      CHECK(bytes == first);
    }
  }
}

TEST_CASE("training - stopped anywhere and run again gives the same file") {
  TinyTraining whole("tiny-llama-f32", "locret", few);
  const ScratchFolder folder;
  const std::string expected = whole.weights(whole.run(folder.name + "/whole").value());
  uint32_t n_said = 0;
  whole.on_progress = [&](const TrainingProgress&) { ++n_said; };
  static_cast<void>(whole.run(folder.name + "/counted"));
  REQUIRE(n_said > 10);
  // One process after the other, each stopped after one more thing was said.
  for (const uint32_t patience : {1u, 2u, 5u}) {
    CAPTURE(patience);
    const std::string work = folder.name + "/cut" + std::to_string(patience);
    std::optional<std::vector<TrainedLayer>> trained;
    uint32_t n_runs = 0;
    while (!trained) {
      REQUIRE(++n_runs < 200);
      TinyTraining part("tiny-llama-f32", "locret", few);
      uint32_t n_left = patience;
      part.on_progress = [&](const TrainingProgress&) {
        if (--n_left == 0) part.stop = true;
      };
      trained = part.run(work);
    }
    CHECK(n_runs > 2);
    CHECK(whole.weights(*trained) == expected);
  }
}

TEST_CASE("row recorder - features are the rows, in the order of evidence, and label rows those that the layout says") {
  TinyHost host("cpu", "tiny-llama-f32");
  Engine engine(host.model(), host.backend(), host.language().tokenizer(), {.batch_rows = 16, .in_flight = 0, .memory = uint64_t{64} << 20});
  const LayerConfig& config = host.config().layers[0];
  const uint32_t q_width = host.config().n_heads * config.head_dim, kv_width = config.n_kv_heads * config.head_dim;
  const TrainingDocument document = some_documents(1, 50)[0];
  const DocumentLayout layout = layout_of(document, 8);
  const uint32_t bits = TENURE_EVIDENCE_HIDDEN | TENURE_EVIDENCE_Q_PRE | TENURE_EVIDENCE_V | TENURE_EVIDENCE_K_PRE;
  const uint32_t v_column = q_width + kv_width, hidden_column = v_column + kv_width, n_columns = hidden_column + host.config().n_embd;
  const uint32_t norms = label_evidence(LabelKind::attention_importance_log);
  // The same document once with its questions on forks and once with the first one's tokens behind it.
  const auto record = [&](RowRecorder& recorder, const std::vector<SegmentScript>& segments, std::vector<uint16_t>& rows, const DocumentLayout& shape) {
    rows.assign(uint64_t{shape.n_tokens} * n_columns, 0);
    recorder.begin(shape, [&](uint32_t layer, uint32_t first, std::span<const uint16_t> part) {
      if (layer == 0) std::copy(part.begin(), part.end(), rows.begin() + uint64_t{first} * n_columns);
    });
    auto script = std::make_shared<SessionScript>();
    script->id = "d";
    script->policy = &recorder.settings();
    script->segments = segments;
    const SessionResult result = run_to_end(engine, script);
    recorder.finish();
    REQUIRE(!result.error);
  };
  RowRecorder forked(host.config(), bits, norms);
  std::vector<SegmentScript> segments{{.ids = document.ids}};
  for (const TrainingQuestion& question : document.questions) {
    segments.push_back({.ids = question.lead, .fork = true});
    segments.back().ids.insert(segments.back().ids.end(), question.answer.begin(), question.answer.end() - 1);
  }
  std::vector<uint16_t> rows;
  record(forked, segments, rows, layout);
  RowRecorder straight(host.config(), bits, norms);
  std::vector<int32_t> all = document.ids;
  all.insert(all.end(), segments[1].ids.begin(), segments[1].ids.end());
  std::vector<uint16_t> all_rows;
  record(straight, {{.ids = all}}, all_rows, {.n_tokens = static_cast<uint32_t>(all.size())});
  CHECK(std::equal(rows.begin(), rows.end(), all_rows.begin()));
  const LayerRowStore& a = forked.layer(0);
  const LayerRowStore& b = straight.layer(0);
  CHECK(std::equal(a.keys.begin(), a.keys.end(), b.keys.begin()));
  // The first question's keys are those that follow the document, at the same positions.
  CHECK(std::equal(b.keys.begin() + static_cast<ptrdiff_t>(a.keys.size()), b.keys.end(), a.question_keys.begin()));
  CHECK(a.queries.size() == uint64_t{layout.n_label_rows} * q_width);
  CHECK(std::none_of(a.queries.begin(), a.queries.end(), [](float x) { return x == 0.0f; }));
  // Norms are those of the rows, which features round to bf16.
  const auto norm_of = [&](uint64_t row, uint32_t column, uint32_t width) {
    double squares = 0;
    for (uint32_t i = 0; i < width; ++i) {
      const double x = from_bfloat16(all_rows[row * n_columns + column + i]);
      squares += x * x;
    }
    return doctest::Approx(std::sqrt(squares)).epsilon(0.004);
  };
  REQUIRE(a.value_norms.size() == uint64_t{layout.n_tokens} * config.n_kv_heads);
  for (uint32_t i = 0; i < a.value_norms.size(); ++i) {
    CHECK(a.value_norms[i] == norm_of(i / config.n_kv_heads, v_column + i % config.n_kv_heads * config.head_dim, config.head_dim));
  }
  REQUIRE(a.hidden_norms.size() == layout.n_label_rows);
  const QuestionRows& question = layout.questions[0];
  for (uint32_t i = 0; i < question.n_label_rows; ++i) {
    const uint32_t row = layout.n_tokens + question.n_rows - question.n_label_rows + i;
    CHECK(a.hidden_norms[question.first_label_row + i] == norm_of(row, hidden_column, host.config().n_embd));
  }
}

}  // namespace tenure::test
