// Request lines: JSONL in, values out. A bad line is a value too (RequestError), never an exception: one bad
// prompt must not end a run. Memory is bounded by the line's length (LineReader) and by max_json_values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "record/request_template.h"
#include "record/row.h"

namespace tenure {

struct Message {
  std::string role;
  std::string content;
};

// One piece fed into the session; what came before is compressed first. At most one of generate and score.
struct RequestSegment {
  std::string text;
  std::string role;                  // empty = raw text, else the chat template wraps it
  std::optional<int64_t> generate;   // at most so many tokens
  std::optional<std::string> score;  // fed teacher-forced
  std::vector<std::string> answers;
  std::string label;
  bool fork = false;  // afterwards the session is as before this segment
};

using RequestInput = std::variant<std::string,                   // prompt
                                  std::vector<Message>,          // messages
                                  std::vector<int32_t>,          // tokens
                                  std::vector<RequestSegment>>;  // segments

// What a line says beyond its input. An absent value leaves the stage's.
struct RequestOptions {
  std::optional<int64_t> max_new_tokens;
  std::optional<uint64_t> seed;
  std::optional<int64_t> samples;
  std::optional<double> temperature;  // OpenAI lines only
  std::optional<double> top_p;        // OpenAI lines only
  std::optional<std::vector<std::string>> stop;
};

struct Request {
  std::string id;
  uint64_t line = 0;  // in its file, from 1
  RequestInput input;
  std::vector<std::string> answers;
  std::optional<std::string> continuation;
  RequestOptions options;
  std::string label;
  std::string metadata;  // JSON text, copied into the row; empty = none
};

struct RequestError {
  RowCode code = RowCode::bad_request;
  std::string message;
  uint64_t line = 0;
  std::string id;  // the line's id where it could be read, else "line-N"
};

using ParsedRequest = std::variant<Request, RequestError>;

// How read_jsonl turns a line into a request. With a map or a template the file is somebody else's: fields
// that are no request keys are not errors, and a mapped id may be an integer.
struct LineMapping {
  std::vector<std::pair<std::string, std::string>> map;  // request key ← the line's field (dotted path)
  std::optional<RequestTemplate> prompt;  // makes `prompt`; any other input of the line is ignored
};

ParsedRequest parse_request(std::string_view line, uint64_t line_number, const LineMapping& mapping = {});

// A text file, or a piece of it, as a prompt; a template sees {text}, {path} and {name}. The id is the path, of a piece
// with its number behind it: "book.txt#1".
ParsedRequest request_from_text(const std::string& path, std::string text, const LineMapping& mapping = {}, uint64_t piece = 0);

}  // namespace tenure
