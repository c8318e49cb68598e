// tenure inspect: what is in a model file. Text of the file is escaped before it reaches the terminal.
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/inspect_safetensors.h"
#include "cli/streams.h"
#include "record/json_writer.h"
#include "weights/ggml_type.h"
#include "weights/gguf.h"

namespace tenure::cli {
namespace {

std::vector<uint64_t> shape_of(const GgufTensor& tensor) {
  return {tensor.view.shape.begin(), tensor.view.shape.begin() + tensor.view.n_dims};
}

std::string text_of(const GgufFile& file) {
  std::string text =
      fmt::format("{}: GGUF v{}, {} bytes, {} values, {} tensors\n\nmetadata\n", file.name(), file.version(),
                  file.bytes().size(), file.values().size(), file.tensors().size());
  for (const GgufValue& value : file.values()) {
    text += fmt::format("  {:<44} {:<8} {}\n", printable(value.key), name(value.type), preview(value));
  }
  text += "\ntensors\n";
  for (const GgufTensor& tensor : file.tensors()) {
    text +=
        fmt::format("  {:<32} {:<8} {:<20} {:>12} bytes{}\n", printable(tensor.name),
                    ggml_type_name(tensor.ggml_type), fmt::format("{}", fmt::join(shape_of(tensor), " x ")),
                    tensor.view.bytes.size(), tensor.runnable ? "" : "  (type is not run)");
  }
  return text;
}

void write_tensor(JsonWriter& json, const GgufTensor& tensor) {
  json.begin_object();
  json.key("name").string(tensor.name);
  json.key("type").string(ggml_type_name(tensor.ggml_type));
  json.key("runnable").boolean(tensor.runnable);
  json.key("shape").begin_array();
  for (const uint64_t n : shape_of(tensor)) json.unsigned_integer(n);
  json.end_array();
  json.key("offset").unsigned_integer(tensor.offset);
  json.key("bytes").unsigned_integer(tensor.view.bytes.size());
  json.end_object();
}

std::string json_of(const GgufFile& file) {
  JsonWriter json;
  json.begin_object();
  json.key("file").string(file.name());
  json.key("version").unsigned_integer(file.version());
  json.key("bytes").unsigned_integer(file.bytes().size());
  json.key("metadata").begin_array();
  for (const GgufValue& value : file.values()) {
    json.begin_object();
    json.key("key").string(value.key);
    json.key("type").string(name(value.type));
    if (value.type == GgufType::array) {
      json.key("element_type").string(name(value.element_type));
      json.key("count").unsigned_integer(value.count);
    }
    json.key("preview").string(preview(value));
    json.end_object();
  }
  json.end_array();
  json.key("tensors").begin_array();
  for (const GgufTensor& tensor : file.tensors()) write_tensor(json, tensor);
  json.end_array();
  json.end_object();
  return json.take() + "\n";
}

int inspect(const Arguments& arguments) {
  const std::string& path = arguments.positional().front();
  if (is_safetensors(path)) {
    print(arguments.has("json") ? safetensors_json(path) : safetensors_text(path));
    return exit_ok;
  }
  const GgufFile file = GgufFile::open(path);
  print(arguments.has("json") ? json_of(file) : text_of(file));
  return exit_ok;
}

}  // namespace

Command inspect_command() {
  return {.name = "inspect",
          .operands = "MODEL",
          .min_operands = 1,
          .max_operands = 1,
          .summary = "metadata and tensors of a GGUF file, a model folder or a .safetensors file",
          .help = "  tenure inspect models/smollm2-135m-instruct.gguf\n  tenure inspect FOLDER --json",
          .options = {{.name = "json", .help = "one JSON object"}},
          .run = inspect};
}

}  // namespace tenure::cli
