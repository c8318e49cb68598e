#include "record/row_view.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "error/error.h"
#include "record/file_io.h"
#include "record/json_writer.h"
#include "record/row_index.h"

namespace tenure {
namespace {

JsonMember* find_member(JsonValue::Object& object, std::string_view key) {
  const auto at =
      std::find_if(object.begin(), object.end(), [&](const JsonMember& m) { return m.key == key; });
  return at == object.end() ? nullptr : &*at;
}

// Puts `value` at a dotted path, making the objects on the way.
void put_at(JsonValue& root, std::string_view path, const JsonValue& value) {
  auto* object = std::get_if<JsonValue::Object>(&root.value);
  if (!object) return;  // an earlier field took the whole value
  const size_t dot = path.find('.');
  const std::string_view key = path.substr(0, dot);
  JsonMember* member = find_member(*object, key);
  if (!member) member = &object->emplace_back(JsonMember{std::string(key), {JsonValue::Object{}}});
  if (dot == std::string_view::npos) {
    member->value = value;
  } else {
    put_at(member->value, path.substr(dot + 1), value);
  }
}

// OpenAI's words: "stop" for every natural end, "length" when cut.
std::string_view openai_finish(Finish finish) {
  return finish == Finish::length || finish == Finish::limit ? "length" : "stop";
}

void write_body(JsonWriter& json, const ResultRow& row) {
  json.begin_object();
  json.key("object").string("chat.completion");
  json.key("choices").begin_array();
  json.begin_object();
  json.key("index").integer(row.sample);
  json.key("message").begin_object();
  json.key("role").string("assistant");
  json.key("content").string(row.text);
  json.end_object();
  json.key("finish_reason").string(openai_finish(row.finish));
  json.end_object();
  json.end_array();
  const RowUsage usage = row.usage.value_or(RowUsage{});
  json.key("usage").begin_object();
  json.key("prompt_tokens").integer(usage.prompt_tokens);
  json.key("completion_tokens").integer(usage.generated_tokens);
  json.key("total_tokens").integer(usage.prompt_tokens + usage.generated_tokens);
  json.end_object();
  json.end_object();
}

std::string openai_line(const ResultRow& row) {
  const std::string request_id = fmt::format("{}/{}/{}/{}", row.id, row.cell, row.stage, row.sample);
  JsonWriter json;
  json.begin_object();
  json.key("id").string(request_id);
  json.key("custom_id").string(row.id);
  json.key("response");
  if (row.status == RowStatus::ok) {
    json.begin_object();
    json.key("status_code").integer(200);
    json.key("request_id").string(request_id);
    write_body(json.key("body"), row);
    json.end_object();
    json.key("error").null();
  } else {
    json.null();
    json.key("error").begin_object();
    json.key("code").string(row.error ? to_string(row.error->code) : to_string(row.status));
    json.key("message").string(row.error ? row.error->message : "");
    json.end_object();
  }
  json.end_object();
  return json.take();
}

bool same_file(const std::string& a, const std::string& b) {
  struct stat x {
  }, y{};
  return stat(a.c_str(), &x) == 0 && stat(b.c_str(), &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

}  // namespace

std::string view_line(const RowView& view, std::string_view line) {
  if (view.format == RowView::Format::openai) {
    const auto row = parse_row(line);
    return row ? openai_line(*row) : std::string("null");
  }
  if (view.fields.empty()) return std::string(line);
  const auto parsed = parse_json(line);
  const JsonValue* row = std::get_if<JsonValue>(&parsed);
  JsonValue selected{JsonValue::Object{}};
  for (const std::string& field : view.fields) {
    const JsonValue* value = row ? row->at_path(field) : nullptr;
    put_at(selected, field, value ? *value : JsonValue{});
  }
  std::string out;
  append_json(out, selected);
  return out;
}

uint64_t write_view(const RowView& view, const std::string& results_path, const std::string& path) {
  if (path == results_path || same_file(path, results_path)) {
    throw Error(Code::bad_value, fmt::format("{} is the results file: a view needs a path of its own", path));
  }
  const std::string temporary = path + ".tmp";
  FileDescriptor file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file)
    throw Error(Code::cannot_create, fmt::format("cannot create {}: {}", temporary, std::strerror(errno)));
  const auto check = [&](bool done) {
    if (done) return;
    const int error = errno;
    unlink(temporary.c_str());
    throw Error(Code::write_failed, fmt::format("{}: {}", temporary, std::strerror(error)));
  };
  constexpr size_t block = size_t{1} << 20;
  std::string pending;
  uint64_t n_lines = 0;
  for_each_current_row(results_path, [&](const ResultRow& row, std::string_view line) {
    const auto& stages = view.stages;
    if (!stages.empty() && std::find(stages.begin(), stages.end(), row.stage) == stages.end()) return;
    pending += view_line(view, line);
    pending += '\n';
    ++n_lines;
    if (pending.size() < block) return;
    check(write_all(file.get(), pending));
    pending.clear();
  });
  check(write_all(file.get(), pending) && fsync(file.get()) == 0);
  check(rename(temporary.c_str(), path.c_str()) == 0);
  return n_lines;
}

}  // namespace tenure
