#include "graph/policy_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>
#include <string_view>

#include "error/error.h"
#include "manifest/findings.h"
#include "weights/model_source.h"

namespace tenure {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view format_name = "tenure.weights/1";
constexpr const char* extension = ".safetensors";

std::string_view fact(const SafetensorsFile& file, std::string_view key) {
  for (const auto& [name, value] : file.metadata()) {
    if (name == key) return value;
  }
  return {};
}

// "SmolLM2 135M" (1a2b3c4d5e6f)
std::string model_text(std::string_view name, std::string_view fingerprint) {
  return fmt::format("\"{}\" ({})", name, fingerprint.substr(0, 12));
}

std::string trained_for(const SafetensorsFile& file) {
  return model_text(fact(file, "model_name"), fact(file, "model_fingerprint"));
}

// Reads and compares a file's own words only.
std::string why_unfit(const SafetensorsFile& file, std::string_view policy, const ModelConfig& model) {
  if (fact(file, "format") != format_name)
    return fmt::format("it holds no weights of a policy: its metadata do not say format = \"{}\"", format_name);
  if (fact(file, "policy") != policy)
    return fmt::format("it was trained for policy \"{}\", not for \"{}\"", fact(file, "policy"), policy);
  if (fact(file, "model_fingerprint") != model.fingerprint)
    return fmt::format("it was trained for model {}, and the model here is {}", trained_for(file),
                       model_text(model.name, model.fingerprint));
  return {};
}

[[noreturn]] void unfit(const PluginFile& plugin, std::string why, std::string help = {}) {
  throw Error(Diagnostic{.code = Code::weights_unfit,
                         .text = fmt::format("weights of policy \"{}\": {}", plugin.manifest.id, why),
                         .help = std::move(help)});
}

std::string how_to_train(const PluginFile& plugin) {
  const std::string& id = plugin.manifest.id;
  return fmt::format("`tenure train {} -m MODEL --data TEXT -o FILE` makes them for any model; weights = \"FILE\" uses them", id);
}

std::vector<fs::path> files_beside(const PluginFile& plugin) {
  std::vector<fs::path> files;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(plugin.library.parent_path() / plugin.manifest.id, none)) {
    if (entry.path().extension() == extension) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end(), [](const fs::path& a, const fs::path& b) { return a.stem() < b.stem(); });
  return files;
}

SafetensorsFile builtin_for(const PluginFile& plugin, const ModelConfig& model) {
  std::string seen;
  for (const fs::path& path : files_beside(plugin)) {
    SafetensorsFile file = SafetensorsFile::open(path.string());
    if (why_unfit(file, plugin.manifest.id, model).empty()) return file;
    seen += fmt::format("{}\"builtin:{}\" is for {}", seen.empty() ? "" : ", ", path.stem().string(), trained_for(file));
  }
  unfit(plugin,
        fmt::format("none that come with it were trained for model {}: {}", model_text(model.name, model.fingerprint),
                    seen.empty() ? "there are none" : seen),
        how_to_train(plugin));
}

SafetensorsFile builtin_named(const PluginFile& plugin, const std::string& name) {
  std::vector<std::string> names;
  for (const fs::path& path : files_beside(plugin)) {
    names.push_back(path.stem().string());
    if (names.back() == name) return SafetensorsFile::open(path.string());
  }
  unfit(plugin, fmt::format("there is no \"builtin:{}\"; there are: {}", name, names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "))),
        names.empty() ? how_to_train(plugin) : did_you_mean(name, names));
}

SafetensorsFile open_file(const PluginFile& plugin, const std::string& value, const ModelConfig& model) {
  if (value == "builtin") return builtin_for(plugin, model);
  if (is_builtin(value)) return builtin_named(plugin, value.substr(value.find(':') + 1));
  std::error_code failure;
  if (!fs::exists(value, failure)) unfit(plugin, fmt::format("there is no file \"{}\"", value), how_to_train(plugin));
  return SafetensorsFile::open(value);
}

bool is_finite(const TensorView& view) {
  const auto all = [&]<typename T>(T exponent) {
    T bits;
    for (size_t at = 0; at < view.bytes.size(); at += sizeof bits) {
      std::memcpy(&bits, view.bytes.data() + at, sizeof bits);
      if ((bits & exponent) == exponent) return false;
    }
    return true;
  };
  if (view.dtype == Dtype::f32) return all(uint32_t{0x7f800000});
  return all(view.dtype == Dtype::f16 ? uint16_t{0x7c00} : uint16_t{0x7f80});
}

tenure_tensor lent(const SafetensorsTensor& tensor, const TensorView& view) {
  tenure_tensor result{.head = {.struct_size = sizeof result},
                       .name = {tensor.name.data(), tensor.name.size()},
                       .dtype = static_cast<uint32_t>(view.dtype),
                       .n_dims = view.n_dims,
                       .data = view.bytes.data(),
                       .bytes = view.bytes.size()};
  std::copy(tensor.shape.begin(), tensor.shape.end(), result.shape);
  return result;
}

}  // namespace

PolicyWeights::PolicyWeights(SafetensorsFile file) : file_(std::move(file)) {
  tensors_.file = file_.name();
  for (const SafetensorsTensor& tensor : file_.tensors()) {
    const TensorView& view = file_.view_of(tensor);
    if (!is_finite(view)) file_.fail(Code::model_malformed, fmt::format("tensor \"{}\" holds a NaN or an infinity", tensor.name));
    tensors_.tensors.push_back(lent(tensor, view));
  }
}

std::unique_ptr<PolicyWeights> PolicyWeights::open(const PluginFile& plugin, const std::vector<ParamValue>& params,
                                                   const ModelConfig& model) {
  const auto named = std::find_if(params.begin(), params.end(), [](const ParamValue& p) { return p.type == ParamType::weights; });
  if (named == params.end()) return nullptr;
  SafetensorsFile file = open_file(plugin, std::get<std::string>(named->value), model);
  if (const std::string why = why_unfit(file, plugin.manifest.id, model); !why.empty())
    unfit(plugin, fmt::format("{}: {}", file.name(), why), how_to_train(plugin));
  return std::unique_ptr<PolicyWeights>(new PolicyWeights(std::move(file)));
}

std::vector<std::string> weights_files(const Plan& plan, const PluginSearch& search) {
  std::set<std::string> files;
  std::map<std::string, ModelConfig> models;
  const auto add = [&](const PolicyPlan* policy, const std::string& model) {
    for (; policy != nullptr; policy = policy->inner.get()) {
      const auto is_weights = [](const ParamValue& p) { return p.type == ParamType::weights; };
      if (std::none_of(policy->params.begin(), policy->params.end(), is_weights)) continue;
      std::error_code failure;
      if (!fs::exists(model, failure)) continue;
      if (!models.contains(model)) models.emplace(model, ModelSource::open(model)->config());
      const PluginFile plugin = resolve_plugin(search, policy->plugin, PluginKind::policy);
      files.insert(PolicyWeights::open(plugin, policy->params, models.at(model))->path());
    }
  };
  for (const CellPlan& cell : plan.cells) {
    for (const StagePlan& stage : cell.stages) {
      if (const auto* generate = std::get_if<GeneratePlan>(&stage.work)) add(&generate->policy, cell.model.path);
      if (const auto* score = std::get_if<ScorePlan>(&stage.work)) add(&score->policy, cell.model.path);
    }
  }
  return {files.begin(), files.end()};
}

}  // namespace tenure
