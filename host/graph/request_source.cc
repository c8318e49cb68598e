#include "graph/request_source.h"

#include <fmt/format.h>
#include <glob.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "error/error.h"
#include "record/file_io.h"

namespace tenure {
namespace {

std::vector<std::string> glob_files(const std::string& pattern) {
  glob_t found{};
  std::vector<std::string> files;
  if (glob(pattern.c_str(), GLOB_ERR, nullptr, &found) == 0) {
    for (size_t i = 0; i < found.gl_pathc; ++i) files.emplace_back(found.gl_pathv[i]);
  }
  globfree(&found);
  return files;
}

// The template in the record room's own spelling.
std::string template_text(const std::vector<TemplatePart>& parts) {
  std::string text;
  for (const TemplatePart& part : parts) {
    if (part.is_field) {
      text += "{" + part.text + "}";
      continue;
    }
    for (char c : part.text) text += c == '{' || c == '}' ? std::string(2, c) : std::string(1, c);
  }
  return text;
}

LineMapping mapping_of(const ReadPlan& plan) {
  LineMapping mapping;
  mapping.map.assign(plan.map.begin(), plan.map.end());
  if (!plan.prompt_template.empty()) mapping.prompt.emplace(template_text(plan.prompt_template));
  return mapping;
}

}  // namespace

std::vector<std::string> expand_paths(const std::vector<std::string>& patterns, const std::string& standard_input) {
  std::vector<std::string> files;
  for (const std::string& pattern : patterns) {
    if (pattern == "-") {
      files.push_back(standard_input);
      continue;
    }
    const bool is_glob = pattern.find_first_of("*?[") != std::string::npos && !file_exists(pattern);
    if (is_glob) {
      const std::vector<std::string> found = glob_files(pattern);
      if (found.empty()) throw Error(Code::input_missing, fmt::format("no file matches \"{}\"", pattern));
      files.insert(files.end(), found.begin(), found.end());
      continue;
    }
    if (!file_exists(pattern)) throw Error(Code::input_missing, fmt::format("input \"{}\" does not exist", pattern));
    if (std::filesystem::is_directory(pattern)) throw Error(Code::input_missing, fmt::format("input \"{}\" is a directory", pattern));
    files.push_back(pattern);
  }
  return files;
}

RequestSource::RequestSource(const StagePlan& stage, std::vector<std::string> files)
    : is_text_(stage.kind == StageKind::read_text),
      mapping_(mapping_of(std::get<ReadPlan>(stage.work))),
      limit_(std::get<ReadPlan>(stage.work).limit.value_or(UINT64_MAX)),
      files_(std::move(files)),
      split_(std::get<ReadPlan>(stage.work).split.value_or(0)) {
  for (const std::string& file : files_) {
    struct stat status {};
    if (::stat(file.c_str(), &status) == 0) bytes_total_ += static_cast<uint64_t>(status.st_size);
    LineReader probe(file);  // an input that cannot be read ends the run before it starts
  }
}

std::optional<ParsedRequest> RequestSource::next() {
  if (n_given_ == limit_) return std::nullopt;
  std::optional<ParsedRequest> request = is_text_ ? next_text() : next_line();
  if (request) {
    ++n_given_;
    return check_id(std::move(*request));
  }
  return std::nullopt;
}

std::optional<ParsedRequest> RequestSource::next_line() {
  while (true) {
    if (!reader_) {
      if (next_file_ == files_.size()) return std::nullopt;
      reader_.emplace(files_[next_file_++]);
    }
    const std::optional<LineReader::Line> line = reader_->next();
    if (line) {
      if (line->too_long) return read_error(line->number, fmt::format("the line is longer than {} bytes", default_line_cap));
      return parse_request(line->text, line->number, mapping_);
    }
    bytes_before_ += reader_->offset();
    reader_.reset();
  }
}

std::optional<ParsedRequest> RequestSource::next_text() {
  while (true) {
    if (pieces_) {
      std::optional<std::string> piece = pieces_->next();
      if (piece) return request_from_text(files_[next_file_ - 1], std::move(*piece), mapping_, ++n_pieces_);
      bytes_before_ += pieces_->offset();
      pieces_.reset();
    }
    if (next_file_ == files_.size()) return std::nullopt;
    const std::string& path = files_[next_file_++];
    try {
      std::string text = read_file(path);
      if (split_ == 0 || text.empty()) {
        bytes_before_ += text.size();
        return request_from_text(path, std::move(text), mapping_);
      }
      pieces_.emplace(std::move(text), split_);
      n_pieces_ = 0;
    } catch (const Error& error) {
      return RequestError{.message = error.diagnostics().front().text, .line = 1, .id = path};
    }
  }
}

RequestError RequestSource::read_error(uint64_t line, std::string message) const {
  return {.message = std::move(message), .line = line, .id = fmt::format("line-{}", line)};
}

ParsedRequest RequestSource::check_id(ParsedRequest request) {
  const bool good = std::holds_alternative<Request>(request);
  const std::string& id = good ? std::get<Request>(request).id : std::get<RequestError>(request).id;
  const uint64_t line = good ? std::get<Request>(request).line : std::get<RequestError>(request).line;
  const auto [first, fresh] = seen_.try_emplace(hash_of(id), line);
  if (fresh) return request;
  RequestError error{.message = fmt::format("id \"{}\" was used on line {} already", id, first->second), .line = line};
  // A bad line without an id has one made of its number, which other files use too: that is not what is wrong with it.
  if (!good) error = std::get<RequestError>(request);
  error.id = unused_id(id, line);
  return error;
}

// A row needs a key of its own, or it would hide the first one's.
std::string RequestSource::unused_id(const std::string& id, uint64_t line) {
  std::string unused = fmt::format("{}#line-{}", id, line);
  for (uint32_t n = 2; !seen_.try_emplace(hash_of(unused), line).second; ++n) unused = fmt::format("{}#line-{}-{}", id, line, n);
  return unused;
}

}  // namespace tenure
