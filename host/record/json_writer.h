// Writes compact JSON into one string: commas and quoting are its business, nesting is the caller's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "record/json_value.h"

namespace tenure {

class JsonWriter {
 public:
  JsonWriter& key(std::string_view name) {
    separate();
    append_json_string(out_, name);
    out_ += ':';
    after_key_ = true;
    return *this;
  }
  void begin_object() { open('{'); }
  void end_object() { close('}'); }
  void begin_array() { open('['); }
  void end_array() { close(']'); }

  void string(std::string_view text) {
    separate();
    append_json_string(out_, text);
  }
  void number(double v) {
    separate();
    append_json_number(out_, v);
  }
  void integer(int64_t v) { raw(std::to_string(v)); }
  void unsigned_integer(uint64_t v) { raw(std::to_string(v)); }
  void boolean(bool v) { raw(v ? "true" : "false"); }
  void null() { raw("null"); }
  void raw(std::string_view json) {  // must be one JSON value
    separate();
    out_ += json;
  }
  void optional_number(const std::optional<double>& v) { v ? number(*v) : null(); }

  const std::string& text() const { return out_; }
  std::string take() { return std::move(out_); }

 private:
  void separate() {
    if (!after_key_ && needs_comma_) out_ += ',';
    after_key_ = false;
    needs_comma_ = true;
  }
  void open(char bracket) {
    separate();
    out_ += bracket;
    needs_comma_ = false;
  }
  void close(char bracket) {
    out_ += bracket;
    needs_comma_ = true;
  }

  std::string out_;
  bool needs_comma_ = false;
  bool after_key_ = false;
};

}  // namespace tenure
