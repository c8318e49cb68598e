#include "plugin/call.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "error/error.h"

namespace tenure {
namespace {

// What a plugin wrote is one line in our messages and rows, whatever it contains.
std::string one_line(const char* text, size_t capacity) {
  std::string line(text, strnlen(text, capacity));
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = ' ';
  }
  return line;
}

Code code_of(tenure_status status, Code unsupported) {
  switch (status) {
    case TENURE_INVALID_CONFIG:
      return Code::plugin_refused;
    case TENURE_UNSUPPORTED:
    case TENURE_UNIMPLEMENTED:
      return unsupported;
    case TENURE_TOO_NEW:
      return Code::plugin_abi;
    default:
      return Code::plugin_failed;
  }
}

}  // namespace

Status failed_call(std::string_view plugin, std::string_view function, tenure_status code,
                   const tenure_error& error) {
  const std::string op = one_line(error.where, sizeof error.where);
  return {.code = code,
          .where = fmt::format("{}.{}", plugin, op.empty() ? function : std::string_view(op)),
          .text = one_line(error.text, sizeof error.text)};
}

Status thrown_call(std::string_view plugin, std::string_view function, const char* what) {
  return {.code = TENURE_EXCEPTION,
          .where = fmt::format("{}.{}", plugin, function),
          .text = fmt::format("an exception left the plugin: {}", one_line(what, 400))};
}

tenure_status tell_plugin(tenure_error* error, tenure_status code, std::string_view where, std::string_view text) {
  if (error == nullptr) return code;
  tenure_error full{.head = error->head, .code = code, .native = 0, .where = {}, .text = {}};
  std::memcpy(full.where, where.data(), std::min(where.size(), sizeof full.where - 1));
  std::memcpy(full.text, text.data(), std::min(text.size(), sizeof full.text - 1));
  std::memcpy(error, &full, std::min<size_t>(error->head.struct_size, sizeof full));
  return code;
}

void throw_unless_ok(const Status& status, Code unsupported) {
  if (!status.ok()) throw Error(code_of(status.code, unsupported), to_text(status));
}

}  // namespace tenure
