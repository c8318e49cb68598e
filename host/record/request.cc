#include "record/request.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "error/error.h"
#include "record/json_value.h"

namespace tenure {
namespace {

// Leaves the parse of one line early; caught in parse_request, never seen outside.
struct BadLine {
  std::string message;
};

using Keys = std::vector<std::string>;
const Keys request_keys = {"id",      "prompt",       "messages",       "tokens", "segments",
                           "answer",  "continuation", "max_new_tokens", "seed",   "stop",
                           "samples", "metadata",     "label"};
const Keys segment_keys = {"text", "role", "generate", "score", "answer", "label", "fork"};
const Keys message_keys = {"role", "content", "name"};
const Keys openai_keys = {"custom_id", "method", "url", "body"};
const Keys openai_body_keys = {"model",       "messages", "prompt",  "max_tokens", "max_completion_tokens",
                               "temperature", "top_p",    "seed",    "stop",       "n",
                               "stream",      "user",     "metadata"};

void refuse_unknown(const JsonValue& object, const Keys& known, std::string_view where) {
  for (const JsonMember& member : *object.object()) {
    if (std::find(known.begin(), known.end(), member.key) != known.end() || member.key.starts_with("x-"))
      continue;
    std::string message = fmt::format("unknown key \"{}\" in {}", member.key.substr(0, 64), where);
    const std::string_view near = nearest(member.key, known);
    if (!near.empty()) message += fmt::format("; did you mean \"{}\"?", near);
    throw BadLine{std::move(message)};
  }
}

[[noreturn]] void wrong_type(std::string_view key, std::string_view wanted, const JsonValue& got) {
  throw BadLine{fmt::format("\"{}\" takes {}, this is {}", key, wanted, got.kind())};
}

const JsonValue* member(const JsonValue& object, std::string_view key) {
  const JsonValue* value = object.find(key);
  return value && !value->is_null() ? value : nullptr;
}

std::string string_of(const JsonValue& value, std::string_view key) {
  if (!value.string()) wrong_type(key, "a string", value);
  return *value.string();
}

int64_t integer_of(const JsonValue& value, std::string_view key, int64_t least, int64_t most) {
  const auto number = value.integer();
  if (!number) wrong_type(key, "an integer", value);
  if (*number < least || *number > most) {
    throw BadLine{fmt::format("\"{}\" is {}, allowed are {} to {}", key, *number, least, most)};
  }
  return *number;
}

double number_of(const JsonValue& value, std::string_view key, double least, double most) {
  const auto number = value.number();
  if (!number) wrong_type(key, "a number", value);
  if (!(*number >= least && *number <= most)) {
    throw BadLine{fmt::format("\"{}\" is {}, allowed are {} to {}", key, *number, least, most)};
  }
  return *number;
}

std::vector<std::string> strings_of(const JsonValue& value, std::string_view key) {
  if (value.string()) return {*value.string()};
  if (!value.array()) wrong_type(key, "a string or a list of strings", value);
  std::vector<std::string> strings;
  for (const JsonValue& item : *value.array()) strings.push_back(string_of(item, key));
  return strings;
}

std::vector<std::string> answers_of(const JsonValue& value) {
  std::vector<std::string> answers = strings_of(value, "answer");
  for (const std::string& answer : answers) {
    if (answer.find_first_not_of(" \t\r\n") == std::string::npos)
      throw BadLine{"\"answer\" is blank: every text would match it"};
  }
  return answers;
}

const JsonValue::Array& list_of(const JsonValue& value, std::string_view key) {
  if (!value.array()) wrong_type(key, "a list", value);
  if (value.array()->empty()) throw BadLine{fmt::format("\"{}\" is empty", key)};
  return *value.array();
}

// OpenAI content is a string, or parts of which only text can be taken.
std::string content_of(const JsonValue& value) {
  if (value.string()) return *value.string();
  std::string content;
  for (const JsonValue& part : list_of(value, "content")) {
    const JsonValue* type = part.find("type");
    const JsonValue* text = part.find("text");
    if (!type || !type->string() || *type->string() != "text" || !text)
      throw BadLine{"only text parts of \"content\" are supported"};
    content += string_of(*text, "text");
  }
  return content;
}

std::vector<Message> messages_of(const JsonValue& value) {
  std::vector<Message> messages;
  for (const JsonValue& item : list_of(value, "messages")) {
    if (!item.object()) wrong_type("messages", "objects {role, content}", item);
    refuse_unknown(item, message_keys, fmt::format("messages[{}]", messages.size()));
    const JsonValue* role = member(item, "role");
    const JsonValue* content = member(item, "content");
    if (!role || !content) throw BadLine{fmt::format("messages[{}] needs role and content", messages.size())};
    messages.push_back({string_of(*role, "role"), content_of(*content)});
  }
  return messages;
}

std::vector<int32_t> tokens_of(const JsonValue& value) {
  const auto& items = list_of(value, "tokens");
  std::vector<int32_t> tokens;
  tokens.reserve(items.size());
  for (const JsonValue& item : items)
    tokens.push_back(static_cast<int32_t>(integer_of(item, "tokens", 0, INT32_MAX)));
  return tokens;
}

RequestSegment segment_of(const JsonValue& item, size_t index) {
  const std::string where = fmt::format("segments[{}]", index);
  if (!item.object()) wrong_type(where, "an object", item);
  refuse_unknown(item, segment_keys, where);
  RequestSegment segment;
  if (const JsonValue* v = member(item, "text")) segment.text = string_of(*v, "text");
  if (const JsonValue* v = member(item, "role")) segment.role = string_of(*v, "role");
  if (const JsonValue* v = member(item, "generate"))
    segment.generate = integer_of(*v, "generate", 1, INT32_MAX);
  if (const JsonValue* v = member(item, "score")) segment.score = string_of(*v, "score");
  if (const JsonValue* v = member(item, "answer")) segment.answers = answers_of(*v);
  if (const JsonValue* v = member(item, "label")) segment.label = string_of(*v, "label");
  if (const JsonValue* v = member(item, "fork")) {
    if (!v->boolean()) wrong_type("fork", "true or false", *v);
    segment.fork = *v->boolean();
  }
  if (segment.generate && segment.score) throw BadLine{where + " has both generate and score"};
  if (!segment.answers.empty() && !segment.generate)
    throw BadLine{where + " has an answer, but generates nothing"};
  if (segment.score && segment.score->empty()) throw BadLine{where + " scores an empty text"};
  if (segment.text.empty() && !segment.generate && !segment.score)
    throw BadLine{where + " has nothing to feed"};
  return segment;
}

std::vector<RequestSegment> segments_of(const JsonValue& value) {
  std::vector<RequestSegment> segments;
  for (const JsonValue& item : list_of(value, "segments"))
    segments.push_back(segment_of(item, segments.size()));
  return segments;
}

std::string prompt_of(const JsonValue& value) {
  std::string prompt = string_of(value, "prompt");
  if (prompt.empty()) throw BadLine{"\"prompt\" is empty"};
  return prompt;
}

std::optional<RequestInput> input_of(const JsonValue& object, std::string_view key) {
  const JsonValue* value = member(object, key);
  if (!value) return std::nullopt;
  if (key == "prompt") return prompt_of(*value);
  if (key == "messages") return messages_of(*value);
  if (key == "tokens") return tokens_of(*value);
  return segments_of(*value);
}

RequestInput one_input(const JsonValue& object, const std::vector<std::string_view>& keys) {
  std::optional<RequestInput> found;
  std::string_view found_key;
  for (std::string_view key : keys) {
    std::optional<RequestInput> input = input_of(object, key);
    if (!input) continue;
    if (found) throw BadLine{fmt::format("both \"{}\" and \"{}\": a request has one input", found_key, key)};
    found = std::move(input);
    found_key = key;
  }
  if (!found) throw BadLine{fmt::format("no input: give one of {}", fmt::join(keys, ", "))};
  return std::move(*found);
}

uint64_t seed_of(const JsonValue& value) {
  const auto seed = value.unsigned_integer();
  if (!seed) wrong_type("seed", "an integer from 0", value);
  return *seed;
}

constexpr int64_t max_samples = 10'000;

void read_options(const JsonValue& object, RequestOptions& options) {
  if (const JsonValue* v = member(object, "max_new_tokens"))
    options.max_new_tokens = integer_of(*v, "max_new_tokens", 1, INT32_MAX);
  if (const JsonValue* v = member(object, "seed")) options.seed = seed_of(*v);
  if (const JsonValue* v = member(object, "samples"))
    options.samples = integer_of(*v, "samples", 1, max_samples);
  if (const JsonValue* v = member(object, "stop")) options.stop = strings_of(*v, "stop");
}

std::string json_text(const JsonValue& value) {
  std::string text;
  append_json(text, value);
  return text;
}

std::string id_of(const JsonValue& object, std::string_view key, bool integers_too) {
  const JsonValue* id = member(object, key);
  if (!id) throw BadLine{fmt::format("no \"{}\"", key)};
  if (integers_too && id->integer()) return std::to_string(*id->integer());
  std::string text = string_of(*id, key);
  if (text.empty()) throw BadLine{fmt::format("\"{}\" is empty", key)};
  return text;
}

Request read_request(const JsonValue& object, bool mapped) {
  Request request;
  request.id = id_of(object, "id", mapped);
  request.input = one_input(object, {"prompt", "messages", "tokens", "segments"});
  const bool segmented = std::holds_alternative<std::vector<RequestSegment>>(request.input);
  if (const JsonValue* v = member(object, "answer")) request.answers = answers_of(*v);
  if (const JsonValue* v = member(object, "continuation"))
    request.continuation = string_of(*v, "continuation");
  if (const JsonValue* v = member(object, "label")) request.label = string_of(*v, "label");
  if (const JsonValue* v = member(object, "metadata")) request.metadata = json_text(*v);
  read_options(object, request.options);
  if (segmented && (request.options.max_new_tokens || request.continuation || !request.answers.empty())) {
    throw BadLine{"max_new_tokens, continuation and answer are for whole prompts: give them in the segments"};
  }
  return request;
}

bool is_openai(const JsonValue& object) {
  return object.find("custom_id") && object.find("body");
}

Request read_openai(const JsonValue& object) {
  refuse_unknown(object, openai_keys, "an OpenAI batch line");
  Request request;
  request.id = id_of(object, "custom_id", false);
  if (const JsonValue* v = member(object, "method"); v && string_of(*v, "method") != "POST")
    throw BadLine{"\"method\" is not POST"};
  const JsonValue* url = member(object, "url");
  if (url && string_of(*url, "url") != "/v1/chat/completions" && *url->string() != "/v1/completions") {
    throw BadLine{fmt::format("\"url\" is {}, supported are /v1/chat/completions and /v1/completions",
                              url->string()->substr(0, 100))};
  }
  const JsonValue& body = *object.find("body");
  if (!body.object()) wrong_type("body", "an object", body);
  refuse_unknown(body, openai_body_keys, "body");
  request.input = one_input(body, {"messages", "prompt"});
  RequestOptions& options = request.options;
  for (std::string_view key : {"max_tokens", "max_completion_tokens"}) {
    if (const JsonValue* v = member(body, key)) options.max_new_tokens = integer_of(*v, key, 1, INT32_MAX);
  }
  if (const JsonValue* v = member(body, "temperature"))
    options.temperature = number_of(*v, "temperature", 0, 100);
  if (const JsonValue* v = member(body, "top_p")) options.top_p = number_of(*v, "top_p", 0, 1);
  if (const JsonValue* v = member(body, "n")) options.samples = integer_of(*v, "n", 1, max_samples);
  if (const JsonValue* v = member(body, "seed")) options.seed = seed_of(*v);
  if (const JsonValue* v = member(body, "stop")) options.stop = strings_of(*v, "stop");
  if (const JsonValue* v = member(body, "stream"); v && v->boolean().value_or(true))
    throw BadLine{"\"stream\" has no place in a batch"};
  if (const JsonValue* v = member(body, "metadata")) request.metadata = json_text(*v);
  return request;
}

// The line as our own schema would say it: mapped fields under their request keys, the template's prompt, and
// the request keys that the line already has.
JsonValue apply_mapping(const JsonValue& line, const LineMapping& mapping) {
  JsonValue::Object members;
  const auto has = [&](std::string_view key) {
    return std::any_of(members.begin(), members.end(), [&](const JsonMember& m) { return m.key == key; });
  };
  if (mapping.prompt) {
    auto prompt = mapping.prompt->render(line);
    if (auto* failure = std::get_if<RequestTemplate::Failure>(&prompt))
      throw BadLine{std::move(failure->message)};
    members.push_back({"prompt", {std::move(std::get<std::string>(prompt))}});
  }
  const auto is_input = [](std::string_view key) {
    return key == "prompt" || key == "messages" || key == "tokens" || key == "segments";
  };
  for (const auto& [key, field] : mapping.map) {
    const JsonValue* value = line.at_path(field);
    if (!value) throw BadLine{fmt::format("the field \"{}\" (mapped to {}) is not in this line", field, key)};
    if (!(mapping.prompt && is_input(key))) members.push_back({key, *value});
  }
  for (const std::string& key : request_keys) {
    const JsonValue* value = line.find(key);
    if (value && !has(key) && !(mapping.prompt && is_input(key))) members.push_back({key, *value});
  }
  return {std::move(members)};
}

Request read_line(const JsonValue& line, const LineMapping& mapping) {
  if (!line.object()) throw BadLine{fmt::format("a request is an object, this is {}", line.kind())};
  const bool mapped = !mapping.map.empty() || mapping.prompt;
  if (mapped) return read_request(apply_mapping(line, mapping), true);
  if (is_openai(line)) return read_openai(line);
  refuse_unknown(line, request_keys, "the request");
  return read_request(line, false);
}

std::string readable_id(const JsonValue* line, const LineMapping& mapping, uint64_t line_number) {
  if (line) {
    for (const auto& [key, field] : mapping.map) {
      const JsonValue* id = key == "id" ? line->at_path(field) : nullptr;
      if (id && id->integer()) return std::to_string(*id->integer());
      if (id && id->string() && !id->string()->empty()) return *id->string();
    }
    for (std::string_view key : {"id", "custom_id"}) {
      const JsonValue* id = line->find(key);
      if (id && id->string() && !id->string()->empty()) return *id->string();
    }
  }
  return fmt::format("line-{}", line_number);
}

}  // namespace

ParsedRequest parse_request(std::string_view line, uint64_t line_number, const LineMapping& mapping) {
  const auto parsed = parse_json(line);
  if (const auto* failure = std::get_if<JsonFailure>(&parsed)) {
    return RequestError{RowCode::bad_request, failure->message, line_number,
                        fmt::format("line-{}", line_number)};
  }
  const JsonValue& root = std::get<JsonValue>(parsed);
  try {
    Request request = read_line(root, mapping);
    request.line = line_number;
    return request;
  } catch (BadLine& bad) {
    return RequestError{RowCode::bad_request, std::move(bad.message), line_number,
                        readable_id(&root, mapping, line_number)};
  }
}

ParsedRequest request_from_text(const std::string& path, std::string text, const LineMapping& mapping, uint64_t piece) {
  Request request;
  request.id = piece > 0 ? fmt::format("{}#{}", path, piece) : path;
  request.line = 1;
  const auto bad = [&](std::string message) {
    return RequestError{RowCode::bad_request, std::move(message), 1, request.id};
  };
  if (mapping.prompt) {
    const size_t slash = path.rfind('/');
    JsonValue::Object fields;
    fields.push_back({"text", {std::move(text)}});
    fields.push_back({"path", {path}});
    fields.push_back({"name", {slash == std::string::npos ? path : path.substr(slash + 1)}});
    auto prompt = mapping.prompt->render({std::move(fields)});
    if (auto* failure = std::get_if<RequestTemplate::Failure>(&prompt))
      return bad(std::move(failure->message));
    text = std::move(std::get<std::string>(prompt));
  }
  if (text.empty()) return bad("the file is empty");
  request.input = std::move(text);
  return request;
}

}  // namespace tenure
